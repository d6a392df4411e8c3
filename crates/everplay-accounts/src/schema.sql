CREATE TABLE users (
    customer TEXT NOT NULL,
    user_id TEXT NOT NULL,
    email TEXT,
    email_key TEXT,
    email_confirmed BOOLEAN NOT NULL,
    username TEXT NOT NULL,
    username_key TEXT NOT NULL,
    display_name TEXT NOT NULL,
    avatar_url TEXT,
    region TEXT,
    password_hash TEXT,
    guest BOOLEAN NOT NULL,
    options TEXT NOT NULL,
    roles TEXT NOT NULL,
    is_active BOOLEAN NOT NULL,
    banned_until BIGINT,
    ban_reason TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    last_login BIGINT,
    deleted_at BIGINT,
    PRIMARY KEY (customer, user_id)
);
CREATE UNIQUE INDEX users_email ON users (customer, email_key);
CREATE UNIQUE INDEX users_username ON users (customer, username_key);

CREATE TABLE identities (
    customer TEXT NOT NULL,
    provider TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL,
    email TEXT,
    linked_at BIGINT NOT NULL,
    PRIMARY KEY (customer, provider, subject)
);
CREATE INDEX identities_user ON identities (customer, user_id);

CREATE TABLE logins (
    customer TEXT NOT NULL,
    login_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    second_factor BOOLEAN NOT NULL,
    agent TEXT NOT NULL,
    network TEXT NOT NULL,
    PRIMARY KEY (customer, login_id)
);
CREATE INDEX logins_user ON logins (customer, user_id);
CREATE INDEX logins_expiry ON logins (expires_at);

CREATE TABLE refresh_tokens (
    customer TEXT NOT NULL,
    token_hash BYTEA NOT NULL,
    login_id TEXT NOT NULL,
    used_at BIGINT,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (customer, token_hash)
);
CREATE INDEX refresh_tokens_login ON refresh_tokens (customer, login_id);
CREATE INDEX refresh_tokens_expiry ON refresh_tokens (expires_at);

CREATE TABLE codes (
    customer TEXT NOT NULL,
    code_hash BYTEA NOT NULL,
    purpose TEXT NOT NULL,
    user_id TEXT NOT NULL,
    payload TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (customer, code_hash)
);
CREATE INDEX codes_user ON codes (customer, user_id);
CREATE INDEX codes_expiry ON codes (expires_at);

CREATE TABLE factors (
    customer TEXT NOT NULL,
    user_id TEXT NOT NULL,
    seed BYTEA NOT NULL,
    confirmed BOOLEAN NOT NULL,
    last_step BIGINT NOT NULL,
    PRIMARY KEY (customer, user_id)
);

CREATE TABLE recovery_codes (
    customer TEXT NOT NULL,
    user_id TEXT NOT NULL,
    code_hash BYTEA NOT NULL,
    PRIMARY KEY (customer, user_id, code_hash)
);

CREATE TABLE api_keys (
    customer TEXT NOT NULL,
    key_id TEXT NOT NULL,
    name TEXT NOT NULL,
    secret_hash BYTEA NOT NULL,
    previous_hash BYTEA,
    previous_until BIGINT,
    scopes TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    uses BIGINT NOT NULL,
    last_used BIGINT,
    PRIMARY KEY (customer, key_id)
);

CREATE TABLE signing_keys (
    key_id TEXT PRIMARY KEY,
    private_key BYTEA NOT NULL,
    public_key BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE audit (
    customer TEXT NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    details TEXT NOT NULL,
    hash BYTEA NOT NULL,
    PRIMARY KEY (customer, seq)
);
CREATE TABLE audit_heads (
    customer TEXT PRIMARY KEY,
    seq BIGINT NOT NULL,
    hash BYTEA NOT NULL
);
-- sqlite
CREATE TRIGGER audit_update BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_delete BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- postgres
CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
-- both
