"""Conditions: whether a trigger may fire, in both generations; the windows in which several must be met."""
