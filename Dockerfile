# The runtime's image: the lock's packages and the wheel, and nothing else. Everything it is told comes by the
# environment, as .env.example says; it serves, or runs what follows `docker run IMAGE`, such as `migrate`.

FROM python:3.13-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python -m venv --without-pip /opt/holdfast

# Seldom another: a layer of its own.
COPY runtime-lock.txt ./
RUN pip --python /opt/holdfast/bin/python install --no-compile --require-hashes --no-deps -r runtime-lock.txt

# What builds the wheel is held to its digests too.
COPY checkout-lock.txt ./
RUN awk '/^[a-z]/ { wanted = /^(hatchling|packaging|pathspec|pluggy|tomlkit|trove-classifiers)==/ } wanted' \
        checkout-lock.txt > build-lock.txt \
    && pip install --require-hashes --no-deps -r build-lock.txt

COPY pyproject.toml README.md LICENSE ./
COPY runtime runtime
COPY migrations migrations
RUN python -m hatchling build -t wheel -d wheels \
    && pip --python /opt/holdfast/bin/python install --no-compile --no-index --no-deps wheels/*.whl \
    # An instance starts when somebody waits.
    && /opt/holdfast/bin/python -m compileall -q -j 0 /opt/holdfast/lib

# It has the authorities' certificates, by which Google's certificates are known.
FROM python:3.13-slim-trixie
RUN useradd --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin holdfast
COPY --from=build /opt/holdfast /opt/holdfast
ENV PATH=/opt/holdfast/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Empty: settings are also looked for in files of the working folder.
WORKDIR /srv
USER 10001:10001
EXPOSE 8080
# Cloud Run has probes of its own.
HEALTHCHECK NONE
ENTRYPOINT ["python", "-m", "runtime"]
CMD ["serve"]
