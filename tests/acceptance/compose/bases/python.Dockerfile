# In place of python:3.11-slim.
FROM localhost/llmos-test/debian
RUN apt-get update -qq \
    && apt-get install -qq --yes --no-install-recommends python3 python3-pip \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt
