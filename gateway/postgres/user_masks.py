"""The table `user_mask_outputs`: of each user, the masks of the newest job."""

from gateway.jobs.job import Job, Outcome
from gateway.pipelines.body_masks import canonical_gender
from gateway.postgres.connection import Connection
from gateway.settings.settings import MASK_TYPES

_NAMES = [f"{mask_type}_mask.png" for mask_type in MASK_TYPES]

# The masks are in the order of MASK_TYPES.
_KEEP = """
INSERT INTO public.user_mask_outputs AS kept (
    user_id, gender, request_id, upper_body_mask, upper_body_tshirts_mask, upper_body_coat_mask, lower_body_mask,
    ethnic_combined_mask, baggy_lower_mask, dress_mask, updated_at
)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, now()
WHERE NOT EXISTS (
    SELECT FROM maskwright.jobs
    WHERE user_id = $1 AND tenant = $13 AND sequence > $11
        AND pipeline = 'body_masks' AND state = 'completed' AND deleted_at IS NULL
        AND EXISTS (SELECT FROM json_array_elements(artifacts) AS made WHERE made ->> 'name' = ANY($12::text[]))
)
ON CONFLICT (user_id) DO UPDATE SET
    gender = excluded.gender,
    request_id = excluded.request_id,
    upper_body_mask = excluded.upper_body_mask,
    upper_body_tshirts_mask = excluded.upper_body_tshirts_mask,
    upper_body_coat_mask = excluded.upper_body_coat_mask,
    lower_body_mask = excluded.lower_body_mask,
    ethnic_combined_mask = excluded.ethnic_combined_mask,
    baggy_lower_mask = excluded.baggy_lower_mask,
    dress_mask = excluded.dress_mask,
    updated_at = excluded.updated_at
"""


async def keep_masks(connection: Connection, job: Job, outcome: Outcome) -> None:
    """Write the row of a completed job's user, who is locked, where no later job did; masks not made are NULL.

    The masks of everyone in a photo are not the user's: they have other names, and leave the row as it is.
    """
    request = job.request
    if request.pipeline != "body_masks" or not request.user_id or outcome.failure:
        return
    made = {artifact.name for artifact in outcome.artifacts}
    if made.isdisjoint(_NAMES):
        return
    gender = canonical_gender(request.gender) if request.gender else None
    masks = [name if name in made else None for name in _NAMES]
    whose = (request.user_id, gender, request.request_id)
    await connection.execute(_KEEP, *whose, *masks, job.sequence, _NAMES, request.tenant)
