"""What several suites of tests share. A kit builds, sends or reads; it contains no test and no fixture.

Every kit needs what its line says and no more, and no test is imported here.

Without a broker:

    corekit     people, requests, plans and a world by hand, and `check_edge`, for the pure core
    gatekit     a policy, keys and records for the gate, and what came out of it
    proofkit    one partition as a worker leaves it behind, in memory: inputs, decisions with their chain, meta records
    countgate   a gate that only counts requests per subject: what a test of the engine decides with

With a broker (nothing below tests/unit or tests/cases may import these, except what only builds a worker):

    wire        a foreign client: produces and reads with kafka-python what tests tell a cluster
    enginelab   topics, a client and workers of the engine in this process
    fleet       workers as processes of their own, to be killed and started again
    retold      a partition's store compared with what the log says
"""
