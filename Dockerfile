# The image of every service that is ours: Airflow's processes, the workers, MLflow and the S3 server.
# Nothing secret is in it: a service is given its secrets as files when it starts (deploy/entrypoint).
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
ARG POSTGRES_IMAGE=postgres:16-bookworm

# PostgreSQL's programs for backups, of the server's own version, with the libraries they need but for the C library.
FROM ${POSTGRES_IMAGE} AS postgres
RUN mkdir -p /opt/postgres/bin /opt/postgres/lib \
    && for name in pg_dump pg_restore psql; do \
        program=$(find /usr/lib/postgresql -name $name) \
        && cp "$program" /opt/postgres/lib/ \
        && ldd "$program" | awk '$3 ~ "^/" && $1 !~ "^lib(c|m|dl|rt|pthread|resolv)[.]so" {print $3}' \
            | xargs cp -L -t /opt/postgres/lib \
        && printf '#!/bin/sh\nLD_LIBRARY_PATH=/opt/postgres/lib exec /opt/postgres/lib/%s "$@"\n' $name \
            > /opt/postgres/bin/$name \
        && chmod 755 /opt/postgres/bin/$name || exit 1; \
    done

FROM ${PYTHON_IMAGE} AS packages
COPY requirements.txt constraints.txt /build/
# Half the work of compiling is in what never or hardly gets imported.
RUN python3 -m venv /build/uv && /build/uv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check uv \
    && python3 -m venv /opt/venv \
    && /build/uv/bin/uv pip install --quiet --no-cache --python /opt/venv/bin/python \
        -r /build/requirements.txt -c /build/constraints.txt \
    && /opt/venv/bin/python -m compileall -qq -j 0 -x '/(tests|plotly|databricks)/' /opt/venv/lib

FROM ${PYTHON_IMAGE}
# Any user may run it, if in the group 0, which owns what is written to.
RUN useradd --uid 50000 --gid 0 --no-create-home --home-dir /var/lib/airflow airflow \
    && install --directory --owner airflow --group 0 --mode 0775 /var/lib/airflow /var/lib/airflow/logs /data
ENV PATH=/opt/venv/bin:/opt/postgres/bin:$PATH \
    PYTHONPATH=/opt/ml \
    PYTHONUNBUFFERED=1 \
    AIRFLOW_HOME=/var/lib/airflow \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/ml/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/ml/plugins
COPY --from=packages /opt/venv /opt/venv
COPY --from=postgres /opt/postgres /opt/postgres
WORKDIR /opt/ml
COPY deploy/entrypoint deploy/healthcheck /usr/local/bin/
COPY airflow.env airflow_settings.yaml ./
COPY plugins plugins
COPY include include
COPY dags dags
RUN python -m compileall -qq /opt/ml
# What manifests and model cards record as the version of the code.
ARG CODE_VERSION=unknown
ENV ML_CODE_VERSION=${CODE_VERSION}
USER 50000:0
ENTRYPOINT ["entrypoint"]
CMD ["airflow", "version"]
