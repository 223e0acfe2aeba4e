#!/bin/sh
# Make sure that there is a Chromium for tests/test_browser.py. $1: the environment's bin folder.
[ -n "$CHROMIUM" ] && exec test -x "$CHROMIUM"
command -v chromium >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && apt-get install -y -qq chromium >/dev/null && exit 0
fi
"$1"/playwright install chromium && exit 0
echo "No Chromium could be installed. Install it by hand, or set CHROMIUM to its program, and run again." >&2
exit 1
