"""
The queue on Kafka: messages travel through topics; state, waiting jobs and what is to be sent are in PostgreSQL.

Who owns which number, so that nothing is lost or doubled whoever dies between two steps:

* A message carries its **origin** (one stream of one process) and its **sequence** in it. The origin gives sequences in
  the order in which it sends; a reader of a partition keeps the highest one per origin and drops what is not higher. So
  a message may be sent any number of times by anyone, as long as each sender keeps the order.
* A transaction of an owner (`outbox`) writes what it sends as rows beside the state that it changes, and sends them
  after its commit. If it dies before that, whoever takes its partitions sends the rows of others first
  (`Outbox.inherit`). An outcome that is not known ends the origin: its rows, should they appear, are sent by the same
  rule.
* The **position** of a KEYED partition is moved by the transaction that acknowledges, from where its owner believes it
  to be; with it the highest sequences are kept. A second reader, or one that wakes up late, finds it moved, and is
  rolled back.
* A job's row is deleted, its `started` event written, the worker's **sent** counted, and the message to its inbox
  written in one transaction of the dispatcher. What the worker may be sent is told by its **granted**, a count since
  its start; both only grow, so that a message about them may be lost, repeated or late.
* A process without a database keeps what is not confirmed in memory, numbered, and is told when that is too much.

Where to look, by the way of a message:

    queue        the port: what services call
    link         the clients of a process: `producer`, `consumer`, `offsets`, `depth`; `layout` knows the topics
    mail         what a transaction of the state store takes and sends; `outbox` keeps its rows until they are confirmed
    shelf        the KEYED partitions that a process reads, a `backlog` each
    hub          BROADCAST: the lines of all subscribers; without a database `heard` drops repetitions
    dispatcher   hands out jobs to the workers of the `roster`; `handout` does so in the transaction that makes them
    inbox        a worker's side: jobs as they come, counted by its `claimer`
"""
