CREATE TABLE IF NOT EXISTS posts (
    id         bigserial PRIMARY KEY,
    title      text NOT NULL,
    publish_at timestamptz NOT NULL DEFAULT now(),
    published  boolean NOT NULL DEFAULT false
);

CREATE TABLE IF NOT EXISTS notifications (
    id      bigserial PRIMARY KEY,
    post_id bigint NOT NULL REFERENCES posts,
    sent    boolean NOT NULL DEFAULT false
);
