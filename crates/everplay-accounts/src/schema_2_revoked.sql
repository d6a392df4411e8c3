CREATE INDEX logins_revoked ON logins (revoked_at);
