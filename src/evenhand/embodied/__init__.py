"""Household tasks of the Embodied Agent Interface (arXiv 2410.07166): what answers say, and how right it is.

Everything is symbolic and pure: rows of the data set and texts in, dataclasses out. Nothing here runs a simulator, and
all that reads what a model wrote is bounded in time and depth.
"""
