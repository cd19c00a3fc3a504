"""The service that hears: observations and responses of devices.

Payloads come in by four doors (MQTT, HTTP, gRPC, NATS) and go through one pipeline: decode, validate, resolve the series
from a local projection of the registry, apply the gateway rule and the consent gate, stamp, split by domain, publish,
acknowledge. A sender is answered after the broker stored what was accepted. What is refused has a reason, is counted, and
lies in quarantine with its original bytes; refused personal readings are only counted.
"""
