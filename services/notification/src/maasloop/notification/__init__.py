"""The service that tells: alert rules, alerts, subscriptions and deliveries.

It judges readings, command outcomes and silence by rules, keeps one open alert a rule and device, and lets every change
of an alert leave in one transaction as an event and as a delivery for each subscription that asked for it. Deliveries
are tried by a table of pauses that lies in the database, so that a restart loses none of them.
"""
