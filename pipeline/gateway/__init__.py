"""The HTTP gateway: publishes jobs to Kafka and answers with what comes of them. It runs no model."""
