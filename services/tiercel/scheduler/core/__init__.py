"""
What the scheduler decides, pure and synchronous: state, plan and event in; new state and effects out.

No clock (time comes with the event), no I/O, no log. Expressions are rendered by a callable; what it raises to ask for
a secret or a value that is not at hand passes through, and the decision is asked for again.
"""
