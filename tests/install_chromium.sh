#!/bin/sh
# Make sure that there is a Chromium for tests/test_browser.py. $1: the environment's bin folder.
# The headless shell comes first: it takes a third less CPU time than the whole browser.
[ -n "$CHROMIUM" ] && exec test -x "$CHROMIUM"
for package in chromium-headless-shell chromium; do
    command -v $package >/dev/null && exit 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq && apt-get install -y -qq $package >/dev/null && exit 0
    fi
done
"$1"/playwright install --only-shell chromium && exit 0
echo "No Chromium could be installed. Install it by hand, or set CHROMIUM to its program, and run again." >&2
exit 1
