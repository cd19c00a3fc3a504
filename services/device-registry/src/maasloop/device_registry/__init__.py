"""The service that knows: devices, device types, observed properties, districts and groups.

Everything it tells is a resource with a revision. A change, its event and the answer to its request id are one
transaction; a relay publishes the events in order of revision, and watches read the same tables, so that a projection
elsewhere can never miss a change. Others learn of devices by events and watches, and hold their own projection.
"""
