"""The service that tells: alerts, subscriptions, deliveries."""
