"""What the addresses answer: schemas of the API's description, which no request is checked against."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from gateway.pipelines.registry import Profile
from gateway.triton import ModelState

Pixels = Annotated[int, Field(ge=1)]
Score = Annotated[float, Field(ge=0, le=1)]
Keypoint = tuple[float, float, Score]
Box = tuple[float, float, float, float]


class Live(BaseModel):
    """The gateway lives."""

    status: Literal["ok"]


class StoreState(BaseModel):
    """What keeps jobs, photos and masks."""

    durable: bool = Field(description="false: all is in the gateway's memory, and lost when it stops.")
    database: bool = Field(description="Whether the database answers.")
    database_fault: str | None = Field(
        description="Why it did not answer the last time, for callers with the scope `operate`; else null."
    )
    buckets: bool = Field(description="Whether the object store answers.")
    workers: int | None = Field(ge=0, description="Inferences that the live workers can have under way.")


class Health(BaseModel):
    """State of the gateway, its pipelines, its stores and Triton's models."""

    status: Literal["ok", "degraded"] = Field(description="ok: every pipeline can serve, and the stores answer.")
    queue_size: int = Field(ge=0, description="Requests that came in and do not run yet, and jobs that wait.")
    segmentation_ready: bool = Field(description="Whether the pipeline body_masks can serve.")
    live: Literal[True]
    ready: bool = Field(description="Whether every pipeline can serve, and the stores answer.")
    pipelines: dict[str, bool] = Field(description="Whether each pipeline can serve, by name.")
    stores: StoreState
    models: list[ModelState] = Field(
        description="The models Triton knows, none where Triton is away; `reason` is for callers with `operate`."
    )


class PipelineDescription(BaseModel):
    """One pipeline: what it takes and what it makes."""

    name: str = Field(description="Its address is /v1/run/{name}.")
    summary: str
    profile: Profile
    inputs: list[str]
    parameters: dict[str, object] = Field(description="JSON schema of the parameters, with the defaults in force.")
    artifacts: dict[str, str] = Field(description="What each artifact holds, by its name or a pattern of names.")
    ready: bool = Field(description="Whether it can serve.")


class PipelineList(BaseModel):
    """Every pipeline that can be run."""

    pipelines: list[PipelineDescription]


class PhotoSize(BaseModel):
    """The photo's size in pixels, as displayed."""

    width: Pixels
    height: Pixels


class PersonFound(BaseModel):
    """A person that masks were made of; coordinates are pixels of the photo as displayed."""

    index: int = Field(ge=0, description="Place in this list, and in the artifacts' names with person=all.")
    box: Box = Field(description="x1, y1, x2, y2.")
    score: Score
    keypoints: list[Keypoint] = Field(
        min_length=18, max_length=18, description="COCO-18, each x, y, score; score 0: not found."
    )


class RegionFound(BaseModel):
    """A region that contours were made of."""

    number: int = Field(ge=1)
    name: str


class FaceFound(BaseModel):
    """A face that contours were made of; coordinates are pixels of the photo as displayed."""

    index: int = Field(ge=0, description="Place in this list, and in the artifacts' names with face=all.")
    box: Box = Field(description="x1, y1, x2, y2 of the landmarks.")
    score: Score | None = Field(description="Null where the landmarks were given.")
    landmarks: int = Field(description="How many there are.")
    rotation: float = Field(description="Degrees by which the photo is turned clockwise to make the eyes level.")
    transform: tuple[tuple[float, float, float], tuple[float, float, float]] = Field(
        description="2×3, from the photo to the levelled crop."
    )
    crop: PhotoSize = Field(description="Size of the levelled crop.")
    regions: list[RegionFound]


class ObjectFound(BaseModel):
    """An object that a detector found; coordinates are pixels of the photo as displayed."""

    index: int = Field(ge=0, description="Place in this list.")
    label: str = Field(description="Its class: face, license_plate, or one of COCO's 80.")
    score: Score
    box: Box = Field(description="x1, y1, x2, y2.")
    model: str = Field(description="The detector that found it.")
    corners: list[tuple[float, float]] | None = Field(
        None, description="Of a plate, where the detector tells them: four x, y, clockwise from its own top left."
    )
    action: Literal["hidden", "kept", "none"] | None = Field(
        None, description="Of privacy_blur. kept: covered by a box of `keep`; none: not of the classes to hide."
    )
    style: str | None = Field(None, description="Of what was hidden.")
    shape: str | None = Field(None, description="Of what was hidden.")
    region: tuple[int, int, int, int] | None = Field(
        None, description="Of what was hidden: x1, y1, x2, y2 of the pixels that changed."
    )


class Looked(BaseModel):
    """How closely a photo was looked at."""

    smallest_face: float | None = Field(None, description="Pixels of the photo, where faces were looked for.")
    smallest_object: float | None = Field(None, description="Pixels of the photo, where anything else was looked for.")
    rotations: list[int] = Field(
        default=[], description="Directions looked in: degrees the photo was turned clockwise."
    )
    tiles: int = Field(ge=0, description="How often a detector looked at a part or all of the photo.")


class BlurDone(BaseModel):
    """What was asked for, and how much was hidden."""

    hide: list[str]
    style: Literal["gaussian", "pixelate", "solid"]
    strength: float
    hidden: int = Field(ge=0, description="How many objects.")
    kept: int = Field(ge=0, description="How many objects a box of `keep` covers.")
    keep: list[Box]
    format: Literal["jpeg", "png", "webp"]
    metadata: list[Literal["exif", "icc"]] = Field(description="What the copy may keep of the photo's.")


class ArtifactSummary(BaseModel):
    """A file that was made."""

    content_type: str
    bytes: int = Field(ge=0, description="The file's size.")


class EmbeddedArtifact(ArtifactSummary):
    """A file that was made, with its content."""

    base64: str = Field(json_schema_extra={"contentEncoding": "base64"})


class _Run(BaseModel):
    request_id: str = Field(description="That of the header X-Request-Id.")
    pipeline: str
    status: Literal["completed"]
    photo: PhotoSize
    persons: list[PersonFound] = Field(default=[], description="Of body_masks.")
    faces: list[FaceFound] = Field(default=[], description="Of face_contours.")
    looked: Looked | None = Field(None, description="Of privacy_blur and detect.")
    detections: list[ObjectFound] = Field(default=[], description="Of privacy_blur and detect.")
    blur: BlurDone | None = Field(None, description="Of privacy_blur.")


class RunSummary(_Run):
    """What a run found and made; the artifacts' contents are the parts that follow."""

    artifacts: dict[str, ArtifactSummary] = Field(description="By name, in the order of the parts.")


class RunAnswer(_Run):
    """What a run found and made."""

    artifacts: dict[str, EmbeddedArtifact] = Field(description="By name, such as upper_body_mask.png.")
