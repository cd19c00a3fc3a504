"""The service that permits: processing activities, and the consent and objections of people.

It is the only source of the right to process personal readings. A change and its event are one transaction; every second
it says how far it is, and whoever enforces the right (ingest, timeseries) closes when it has not heard that for
three seconds. So a withdrawal acts within seconds, or nothing passes.
"""
