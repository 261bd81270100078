# The wheel, built from what it is made of.
FROM python:3.12-slim AS build
RUN python -m pip install --no-cache-dir hatchling
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY runner/ runner/
COPY matrix/ matrix/
COPY templates/ templates/
RUN python -m hatchling build -t wheel -d /wheels

# The tested set of versions, and the wheel in it.
FROM python:3.12-slim
COPY constraints/torch-2.15.txt /constraints.txt
COPY --from=build /wheels /wheels
RUN python -m pip install --no-cache-dir --constraint /constraints.txt /wheels/*.whl
# Whoever runs the image as another user has no home.
ENV XDG_CACHE_HOME=/tmp/cache
WORKDIR /work
RUN qatrix check
ENTRYPOINT ["qatrix"]
CMD ["run"]
