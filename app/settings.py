"""Every setting of the two services: variable, default and meaning on one line each."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class WebSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TUNING_FORK_WEB_", frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    data_dir: Path = Field(
        Path(".data"), description="Where the database, tokens and uploads in transit live."
    )
    database_url: str = Field("", description="SQLAlchemy URL; empty means SQLite in the data directory.")
    worker_url: str = Field("http://127.0.0.1:8001", description="Where the worker listens.")
    worker_token: SecretStr = Field(
        SecretStr(""), description="Bearer token of the worker; empty means the one in the data directory."
    )
    public_url: str = Field(
        "",
        description="Address users reach the service under, where that is not host and port.",
    )
    allowed_hosts: list[str] = Field(
        [], description="Further Host names to answer to, besides loopback names and that of the public URL."
    )
    sign_in: Literal["required", "off"] = Field(
        "required",
        description="`off` lets anybody who reaches the service use it; refused on a non-loopback address.",
    )
    public_recommendations: bool = Field(
        True, description="Answer `POST /api/v1/recommendations` without a key."
    )
    recommendations_per_minute: int = Field(
        600, ge=0, description="Anonymous recommendations a minute and address; 0 means no limit."
    )
    logins_per_minute: int = Field(
        30, ge=0, description="Tries to sign in a minute and address; 0 means no limit."
    )
    max_body_bytes: int = Field(1_000_000, ge=1024, description="Largest request body, uploads apart.")
    max_upload_bytes: int = Field(200_000_000, ge=1024, description="Largest dataset upload.")
    upload_hours: float = Field(24, gt=0, description="How long an unfinished upload can be gone on with.")
    max_uploads: int = Field(20, ge=1, description="Uploads that may be unfinished at the same time.")
    max_rulebook_bytes: int = Field(
        1_000_000, ge=1024, description="Largest rulebook to upload: all its files together, unpacked."
    )
    max_rulebook_files: int = Field(40, ge=1, description="Most files of a rulebook to upload.")
    compared_assessments: int = Field(
        500, ge=1, description="Assessments for which two rulebooks are compared, the last changed first."
    )
    session_idle_hours: float = Field(
        12, gt=0, description="A browser session ends after so many hours without a request."
    )
    session_days: float = Field(
        14, gt=0, description="A browser session ends after so many days in any case."
    )
    login_link_hours: float = Field(24, gt=0, description="How long a login link can be used, once.")
    api_key_days: float = Field(90, gt=0, description="How long a new API key is valid.")
    share_days: float = Field(
        30, gt=0, description="How long a new share link is valid, unless said otherwise."
    )
    share_max_days: float = Field(365, gt=0, description="Longest validity of a share link.")
    shares_per_minute: int = Field(
        60, ge=0, description="Openings of share links a minute and address; 0 means no limit."
    )
    sync_seconds: float = Field(
        5, gt=0, description="Pause between two sweeps that copy run events from the worker."
    )
    lost_run_seconds: float = Field(
        60, ge=0, description="A run the worker had and no longer knows is called failed after so long."
    )
    max_live_runs: int = Field(20, ge=1, description="Runs that may wait or train at the same time.")
    stream_tick_seconds: float = Field(
        1, gt=0, description="Pause between two looks of a live stream at its run."
    )
    stream_minutes: float = Field(
        10, gt=0, description="A live stream is closed after so long; the browser opens the next."
    )
    max_tried_answers: int = Field(
        100, ge=1, le=5000, description="Answers that a grader is tried on at once."
    )
    max_attacked_rows: int = Field(
        20, ge=1, le=100, description="Rows that a grader is attacked on; each takes ten gradings."
    )
    max_expert_bytes: int = Field(
        500_000, ge=1024, description="Largest file of experts' scores to compare a grader with."
    )
    max_expert_answers: int = Field(1000, ge=4, le=5000, description="Most answers in such a file.")
    trying_seconds: float = Field(
        120, gt=0, le=600, description="How long the worker may take to try a grader."
    )
    webhook_url: str = Field("", description="Called with a JSON body when a run ends; empty means none.")
    assistant_url: str = Field(
        "",
        description="OpenAI-compatible endpoint that proposes answers from a project description, "
        "without `/chat/completions`; empty means none.",
    )
    assistant_key: SecretStr = Field(
        SecretStr(""), description="Bearer key of that endpoint; empty means that it needs none."
    )
    assistant_model: str = Field("", description="Model it is asked for; needed where its address is set.")
    assistant_seconds: float = Field(60, gt=0, le=600, description="How long its whole answer may take.")
    assistant_max_bytes: int = Field(500_000, ge=1024, description="Largest answer of it that is read.")
    assistant_max_characters: int = Field(
        20_000, ge=100, description="Longest project description that is sent to it."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level of the log lines."
    )

    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite:///{(self.data_dir / 'tuning-fork.db').resolve()}"


class WorkerSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TUNING_FORK_WORKER_", frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8001, ge=0, le=65535, description="Port to listen on.")
    data_dir: Path = Field(Path(".data"), description="Where runs, datasets and models live.")
    token: SecretStr = Field(
        SecretStr(""),
        description="Bearer token callers must send; empty: the one in the data directory.",
    )
    models_dir: Path | None = Field(
        None, description="Local models that runs may start from; default `models` in the data directory."
    )
    engine_module: str = Field("app.engine", description="Module started as one process per run.")
    slots: int = Field(
        0, ge=0, le=64, description="Runs that may train at the same time; 0: one per GPU, one on a CPU."
    )
    warm_engines: int = Field(
        1, ge=0, le=8, description="Training processes kept waiting with their imports done; 0 saves memory."
    )
    retries: int = Field(
        3,
        ge=0,
        le=20,
        description="Times a run is started again whose process was lost without its own fault.",
    )
    retry_seconds: float = Field(
        10, ge=0, description="Pause before the first of these, doubled each time, up to six minutes."
    )
    stalled_minutes: float = Field(
        15,
        gt=0,
        description="A run that trains or measures and says nothing for so long, or ten times as long as a "
        "step takes, is called stalled.",
    )
    checkpoint_minutes: float = Field(10, gt=0, description="Longest time between two checkpoints of a run.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where engines train.")
    threads: int = Field(
        0, ge=0, description="CPU threads per engine; 0 means all cores divided by the slots."
    )
    prepare_starter: bool = Field(True, description="Train the starter model at first start.")
    cancel_grace_seconds: float = Field(
        15, gt=0, description="Time an engine has to stop by itself before it is killed."
    )
    min_free_bytes: int = Field(
        1_000_000_000, ge=0, description="A run is not started with less free disk than this."
    )
    max_body_bytes: int = Field(1_000_000, ge=1024, description="Largest request body, uploads apart.")
    max_upload_bytes: int = Field(200_000_000, ge=1024, description="Largest dataset.")
    datasets_dir: Path | None = Field(
        None,
        description="Local files that datasets may be read from; default `files` in the data directory.",
    )
    max_rows: int = Field(2_000_000, ge=1, description="Most rows of a dataset.")
    reading_memory_bytes: int = Field(
        1_000_000_000, ge=100_000_000, description="Memory of the process that reads a dataset."
    )
    reading_seconds: float = Field(
        120, gt=0, description="Time that reading and profiling a dataset may take."
    )
    fetch_seconds: float = Field(
        300, gt=0, description="Time that fetching a dataset from the Hugging Face hub may take."
    )
    max_line_bytes: int = Field(1_000_000, ge=1024, description="Longest line of a dataset.")
    max_log_bytes: int = Field(200_000_000, ge=1024, description="A run's log is cut at this size.")
    allow_hub: bool = Field(True, description="Let runs load models and datasets from the Hugging Face hub.")
    judge_url: str = Field(
        "",
        description="OpenAI-compatible endpoint for `score_model` graders, without `/chat/completions`; "
        "empty means none.",
    )
    judge_key: SecretStr = Field(SecretStr(""), description="Bearer key of that endpoint.")
    judge_model: str = Field("", description="Model it is asked for where the grader names none.")
    judge_seconds: float = Field(30, gt=0, le=600, description="How long one of its answers may take.")
    judge_concurrency: int = Field(8, ge=1, le=256, description="Questions it is asked at the same time.")
    python_seconds: float = Field(
        1,
        gt=0,
        le=60,
        description="CPU time of a batch of a `python` grader, and a hundredth more an answer.",
    )
    python_memory_bytes: int = Field(
        256_000_000, ge=16_000_000, description="Memory of a batch in the cage; a quarter of it in monty."
    )
    trying_seconds: float = Field(
        120, gt=0, le=600, description="How long the process may take in which a reward model is tried."
    )
    tracking: list[Literal["mlflow", "wandb", "trackio"]] = Field(
        [], description="Where metrics are sent beside the run's own TensorBoard files, as a JSON list."
    )
    tracking_url: str = Field(
        "", description="Address of the MLflow or Weights & Biases server, if it has one."
    )
    tracking_key: SecretStr = Field(SecretStr(""), description="Its token, if it needs one.")
    playground_minutes: float = Field(
        10, gt=0, description="The playground's models leave the memory after so long without a question."
    )
    playgrounds: int = Field(
        1, ge=1, le=16, description="Runs whose models are kept loaded for the playground at the same time."
    )
    preflights: int = Field(
        1, ge=1, le=16, description="Checks before a launch that are carried out at the same time."
    )
    preflight_seconds: float = Field(
        600, gt=0, description="Time that the checks before one launch may take, the smoke step included."
    )
    preflight_memory_bytes: int = Field(
        0,
        ge=0,
        description="Memory of the smoke step on a CPU; 0: what the machine has free.",
    )
    first_batch_rows: int = Field(
        20_000,
        ge=1,
        description="Rows tokenized to show a first batch; of a larger dataset only the batch's own, unless "
        "rows are packed, shuffled or grouped by length.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level of the log lines."
    )
