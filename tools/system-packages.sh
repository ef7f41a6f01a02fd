#!/usr/bin/env bash
# Installs what demo and tests need beyond Python when it is missing: Java 17+, Maven, kcat (a foreign Kafka client);
# with the word `tests` also Node.js and npm (for kafkajs, another one).
# Debian and Ubuntu as root: through apt-get. Anywhere else: says what is missing and ends with status 1.
set -euo pipefail

missing=()
java_major() { java -version 2>&1 | sed -nE '1s/.*version "([0-9]+).*/\1/p'; }

if ! command -v java >/dev/null || [ "$(java_major || echo 0)" -lt 17 ]; then missing+=(openjdk-17-jre-headless); fi
command -v mvn >/dev/null || missing+=(maven)
command -v kcat >/dev/null || missing+=(kcat)
if [ "${1:-}" = tests ]; then
  command -v node >/dev/null || missing+=(nodejs)
  command -v npm >/dev/null || missing+=(npm)
fi

[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "missing system packages: ${missing[*]} (Debian names); install them and run this again" >&2
  exit 1
fi

export DEBIAN_FRONTEND=noninteractive
echo "installing ${missing[*]}" >&2
# A failed update (an offline mirror, say) matters only if the install then fails too.
apt-get update -qq >&2 || true
apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
