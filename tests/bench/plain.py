"""The peer: FastAPI, the SQLAlchemy ORM and pydantic response models, as a tutorial writes them. No authentication."""

import datetime as dt
import os
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict
from sqlalchemy import ForeignKey, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, joinedload, mapped_column, relationship

engine = create_async_engine(os.environ["PLAIN_DATABASE_URL"], pool_size=int(os.environ["PLAIN_POOL"]), max_overflow=0)
sessions = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    type_annotation_map = {dict[str, Any]: JSONB}  # noqa: RUF012  # SQLAlchemy's way


class OptimizationRun(Base):
    __tablename__ = "optimization_runs"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    description: Mapped[str | None]
    method: Mapped[str]
    objective: Mapped[str]
    search_space: Mapped[dict[str, Any]]
    config: Mapped[dict[str, Any]]
    num_experiments: Mapped[int]
    best_value: Mapped[float | None]
    best_experiment_id: Mapped[str | None]
    status: Mapped[str]
    created_at: Mapped[dt.datetime]
    started_at: Mapped[dt.datetime | None]
    completed_at: Mapped[dt.datetime | None]
    created_by: Mapped[str | None]


class Experiment(Base):
    __tablename__ = "experiments"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    description: Mapped[str | None]
    status: Mapped[str]
    parameters: Mapped[dict[str, Any]]
    config: Mapped[dict[str, Any]]
    result_value: Mapped[float | None]
    result_data: Mapped[dict[str, Any] | None]
    result_uri: Mapped[str | None]
    created_at: Mapped[dt.datetime]
    started_at: Mapped[dt.datetime | None]
    completed_at: Mapped[dt.datetime | None]
    created_by: Mapped[str | None]
    optimization_run_id: Mapped[str | None] = mapped_column(ForeignKey("optimization_runs.id"))
    optimization_run: Mapped[OptimizationRun | None] = relationship()


class Row(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class RunRead(Row):
    id: str
    name: str
    description: str | None
    method: str
    objective: str
    search_space: dict[str, Any]
    config: dict[str, Any]
    num_experiments: int
    best_value: float | None
    best_experiment_id: str | None
    status: str
    created_at: dt.datetime
    started_at: dt.datetime | None
    completed_at: dt.datetime | None
    created_by: str | None


class ExperimentSummary(Row):
    id: str
    name: str
    status: str
    parameters: dict[str, Any]
    result_value: float | None
    result_uri: str | None
    created_at: dt.datetime
    started_at: dt.datetime | None
    completed_at: dt.datetime | None
    created_by: str | None
    optimization_run_id: str | None


class ExperimentRead(ExperimentSummary):
    description: str | None
    config: dict[str, Any]
    result_data: dict[str, Any] | None
    optimization_run: RunRead | None


app = FastAPI()


async def session() -> AsyncIterator[AsyncSession]:
    async with sessions() as opened:
        yield opened


Session = Annotated[AsyncSession, Depends(session)]


@app.get("/experiments")
async def list_experiments(db: Session, limit: int = 100) -> list[ExperimentSummary]:
    newest = select(Experiment).order_by(Experiment.created_at.desc(), Experiment.id.desc()).limit(limit)
    return list((await db.scalars(newest)).all())  # type: ignore[arg-type]  # the response model converts


@app.get("/experiments/{experiment_id}")
async def get_experiment(db: Session, experiment_id: str) -> ExperimentRead:
    found = await db.get(Experiment, experiment_id, options=[joinedload(Experiment.optimization_run)])
    if found is None:
        raise HTTPException(404)
    return found  # type: ignore[return-value]  # the response model converts
