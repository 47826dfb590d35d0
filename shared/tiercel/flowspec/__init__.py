"""
The flow language: YAML text with positions becomes a model, or a list of everything that is wrong with it.

`parse` is the way in: `parse_flow`, `check_flow`, `bind_task`. `inputs` gives inputs and outputs their types.
"""
