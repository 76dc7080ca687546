"""Measured points for the capacity planner: how they are taken (campaign, ladder, probe) and kept (points).

Nothing is fitted or planned here: core/capacity.py does that.
"""
