"""Chaos: a real Kafka, real workers, injected faults, and a checker that believes only the topics and the journal.

    history.py    what a run leaves on disk: `Recorder` writes it, `load` reads it
    dump.py       `await dump(bootstrap, prefix, directory, group)`: all topics into the history, at the end
    workload.py   `Workload(bootstrap, prefix, recorder, Plan(seed=…, requests=…, rate=…))`, the sole producer:
                  `await setup()` publishes the world (control events), `await run()` the rest
    policy.yaml   what the workers start with (`contactgate worker --policy`)
    checker.py    `check(history) -> Verdict`: `.findings` (name, held, detail), `.unreached`, `.state`
    report.py     `write(history, verdict) -> Path`: report.html and timeline.png beside the history

history, checker and report import nothing of contactgate.
"""
