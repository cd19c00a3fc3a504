-- Who created a rule, and who agreed to one that tells very many.
ALTER TABLE alert_rules
    ADD COLUMN requester text NOT NULL DEFAULT '',
    ADD COLUMN approver text NOT NULL DEFAULT '',
    ADD COLUMN create_time_us bigint NOT NULL DEFAULT 0,
    ADD CONSTRAINT alert_rules_two_persons CHECK (approver = '' OR approver <> requester);
