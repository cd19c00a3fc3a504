"""The sockets that devices speak through: MQTT, HTTP, gRPC and NATS requests, each as a real device would use it."""
