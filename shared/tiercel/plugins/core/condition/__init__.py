"""Conditions of the 1.x dialect: questions asked before a trigger fires."""
