"""Messages in and out, over the Kafka protocol."""
