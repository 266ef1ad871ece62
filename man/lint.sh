#!/bin/sh
# lint.sh PAGE...: runs mandoc's checks over the pages, and asks that the folder holds no page that nobody installs.
cd "$(dirname "$0")" || exit 2
command -v mandoc >/dev/null || { echo "man_lint: SKIPPED: mandoc is not installed"; exit 77; }
failed=0
for page in "$@"; do
  mandoc -T lint -W warning "$page" || { echo "man_lint: $page"; failed=1; }
done
for page in *.[1-9]; do
  [ -e "$page" ] || continue
  case " $* " in *" $page "*) ;; *) echo "man_lint: $page is not in man/CMakeLists.txt"; failed=1 ;; esac
done
[ $failed = 0 ] && echo "man_lint: $# pages ok"
exit $failed
