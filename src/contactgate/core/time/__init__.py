"""Time as the rules need it: calling hours, calendar periods, zones, holidays.

Zone rules come from the tzdata package and holidays from the holidays package. Must never ask the machine for its time
or zone.
"""
