"""The life of one partition: opening, the order barrier, transactions and replay, as a state machine without I/O.

What needs the outside is an effect that somebody else carries out. Must never import asyncio, a client, a store or a
clock, not even indirectly.

Every rule that a promise of docs/promises.md rests on has a name, is stated once, in the module on the right, as
`INVARIANT` and the name in parentheses with a colon behind it, and is cited without the colon:

    hash what is sent        codec/emit.py
    one reading              codec/strict.py
    no clear address         codec/tokens.py
    latest word              core/apply.py
    a broken rule blocks     core/judge.py
    recall the illegal       core/review.py
    one answer               core/rule.py
    erased is closed         core/rules/consent.py
    ask after fetch          engine/driver.py
    proven gaps only         engine/intake.py
    every record fits        engine/kafka/clients.py
    never a jump             engine/kafka/clients.py
    all acknowledged         engine/kafka/transactor.py
    never used again         engine/kafka/transactor.py
    no blind repeat          engine/kafka/transactor.py
    unknown commit           engine/kafka/transactor.py
    append then move on      engine/relay.py
    outside of transactions  engine/relay.py
    fixed id                 engine/settings.py
    carried once             gate/carrying.py
    one fate                 gate/gate.py
    reserve before emit      gate/gate.py
    a letter fits            gate/letters.py
    one spelling             model/address.py
    a copy changes nothing   partition/fold.py
    canonical order          partition/fold.py
    one key                  partition/fold.py
    fail closed              partition/task.py
    fence before read        partition/task.py
    one instant              partition/task.py
    one transaction          partition/task.py
    open again               partition/task.py
    rotate in time           partition/task.py
    store after commit       partition/task.py
    one batch                store.py
"""
