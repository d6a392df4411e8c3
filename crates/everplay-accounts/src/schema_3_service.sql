-- An operator's word on how much of the service there is: one row, of all customers.
CREATE TABLE service_words (
    id BIGINT PRIMARY KEY,
    version BIGINT NOT NULL,
    -- NULL: taken back.
    level TEXT,
    message TEXT NOT NULL,
    until BIGINT
);
INSERT INTO service_words (id, version, level, message, until) VALUES (1, 0, NULL, '', NULL);
