-- Users bring this table, with three masks. IF NOT EXISTS would need the right to make tables even where it is there.
DO $$
BEGIN
    IF to_regclass('public.user_mask_outputs') IS NULL THEN
        CREATE TABLE public.user_mask_outputs (
            user_id text PRIMARY KEY,
            gender text,
            request_id text,
            upper_body_mask text,
            lower_body_mask text,
            ethnic_combined_mask text,
            updated_at timestamptz DEFAULT now()
        );
    END IF;
END
$$;

ALTER TABLE public.user_mask_outputs
    ADD COLUMN IF NOT EXISTS upper_body_tshirts_mask text,
    ADD COLUMN IF NOT EXISTS upper_body_coat_mask text,
    ADD COLUMN IF NOT EXISTS baggy_lower_mask text,
    ADD COLUMN IF NOT EXISTS dress_mask text;
