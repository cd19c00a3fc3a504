"""The service that permits: processing activities, consent records, receipts."""
