#!/bin/bash
# Runs inside the container, as root, in the copied project: installs notifier by the commands of systemd/README.md, then
# makes a real systemd start, reload, kill, watch and stop it. An emulated provider and verifying receivers run beside it.
# Every step prints `ok:` or ends the run with the journal's tail. Nothing sleeps for luck: each wait is for a fact, with a limit.
set -euo pipefail

NOTIFIER=/opt/notifier/bin/notifier
PYTHON=/opt/notifier/bin/python
CONFIG=/etc/notifier/config.yaml
DROP=/var/spool/notifier/drop
LOGS=/run/notifier-test
KEY=key-$RANDOM$RANDOM
PROVIDER=http://127.0.0.1:8788
passed=0

ok() { passed=$((passed + 1)); echo "ok: $*"; }

fail() {
  set +e
  echo "FAILED: $*"
  systemctl status notifier --no-pager --lines=0
  journalctl -u notifier -o short-precise --no-pager --lines=80 | grep -v 'systemd\[1\].*Got notification'
  tail -n 20 "$LOGS"/*
  exit 1
}
trap 'fail "line $LINENO: $BASH_COMMAND"' ERR

# within SECONDS WHAT COMMAND...: until the command succeeds.
within() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" > /dev/null 2>&1; do
    [ "$SECONDS" -le "$end" ] || fail "$what: not in time ($*)"
    sleep 0.1
  done
}

# readme N: the Nth block of commands in the README, run as it stands.
readme() {
  awk -v n="$1" '/^```sh$/ {block++; next} /^```$/ {inside = 0; if (block == n) exit; next} block == n' systemd/README.md > "$LOGS/block"
  [ -s "$LOGS/block" ] || fail "systemd/README.md has no block $1"
  sh -eu "$LOGS/block" > "$LOGS/block.out" 2>&1 || fail "systemd/README.md, block $1"
}

property() { systemctl show notifier --property "$1" --value; }
is() { [ "$(property "$1")" = "$2" ]; }
restarts_above() { [ "$(property NRestarts)" -gt "$1" ]; }
runs_other_than() { is ActiveState active && [ "$(property MainPID)" != "$1" ]; }

# From here on `told` and `logged` look only at what comes after.
# (By time: `--after-cursor` of systemd 252 skips the first entry that a filter lets through.)
from_now() { journalctl --sync && since=@$(date +%s.%6N); }
# told TEXT: the daemon sent TEXT to systemd. systemd at debug level logs every notice it gets.
told() { told_by_systemd "Got notification message.*$1"; }
told_by_systemd() { journalctl -q --since "$since" -o cat _PID=1 | grep -c "^notifier.service: $1"; }
logged() { journalctl -q --since "$since" -o cat _SYSTEMD_UNIT=notifier.service | grep -c "$1"; }
# A priority from the daemon itself: what journald made of the prefix.
logged_at() { journalctl -q --since "$since" -o cat -p "$1..$1" _SYSTEMD_UNIT=notifier.service | grep -c "$2"; }

# generation SECONDS|"never": a new one at the provider that completes then; its ID in $id.
generation() {
  [ "$1" = never ] && set -- '"never"'
  id=$(curl -sSf "$PROVIDER/_emulator/generations" -d "{\"complete_at\": $1}" | sed 's/.*\["//; s/"\].*//')
  [[ $id =~ ^[0-9a-f-]{36}$ ]] || fail "the emulator gave no ID: $id"
}
# look_in_flight: the provider has begun to be slow with an answer.
look_in_flight() { curl -sSf "$PROVIDER/_emulator/stats" | grep -c '"slow":[1-9]'; }

# drop_as USER NAME TEXT: written under another name, then renamed, as the README says. Readable by its group, no more.
drop_as() { printf '%s' "$3" | setpriv --reuid "$1" --regid "$1" --init-groups sh -c 'umask 027 && cat > "$1.tmp" && mv "$1.tmp" "$1"' - "$DROP/$2"; }

# received WHERE ID: a callback about ID, verified.
received() { grep "\"generation_id\":\"$2\"" "$LOGS/$1" | grep -q '"type":"generation.completed".*"verified":true'; }
not_received() { ! grep -q "$2" "$LOGS/$1"; }

beside() { # beside NAME COMMAND...: a process beside the daemon, its output in $LOGS/NAME
  local name=$1
  shift
  systemd-run --quiet --collect --unit="test-$name" --property=StandardOutput="append:$LOGS/$name" "$@"
}
listener() { beside "$1" --setenv=NOTIFIER_SECRET="$SECRET" "$NOTIFIER" listen --port "$2" --json; }
listens() { : < "/dev/tcp/127.0.0.1/$1"; }

configure() { # configure PORT: deliver to this port
  cat > "$CONFIG" << YAML
store: sqlite:/var/lib/notifier/notifier.db
providers:
  luma:
    kind: aimlapi-luma
    base_url: $PROVIDER
    api_key: {credential: aimlapi_key}
    rate: 20/s
    poll_every: 500ms
endpoints:
  studio:
    url: http://127.0.0.1:$1/hooks
    secret: {credential: studio_secret}
    retry: [0s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s]
drop: {directory: $DROP}
YAML
}

mkdir -p "$LOGS"
systemd-analyze log-level debug
from_now

# ---- install
export PIP_NO_INDEX=1 PIP_NO_BUILD_ISOLATION=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore # no network here
readme 1
ok "$("$NOTIFIER" --version) installed on $("$PYTHON" --version), $(systemctl --version | head -n 1)"

readme 2
said=$(systemd-analyze verify /etc/systemd/system/notifier.service 2>&1) || fail "systemd-analyze verify: $said"
[ -z "$said" ] || fail "systemd-analyze verify is not silent: $said"
ok "systemd-analyze verify is silent"

systemd-analyze security --offline=true --threshold=15 --no-pager /etc/systemd/system/notifier.service > "$LOGS/security" || fail "exposure above 1.5"
ok "$(tail -n 1 "$LOGS/security" | sed 's/^→ //; s/ [^ ]*$//')"

[ "$(stat -c '%a %U:%G' $DROP)" = "3770 notifier:notifier-drop" ] || fail "the drop directory is $(stat -c '%a %U:%G' $DROP)"
id -nG notifier | grep -qw notifier-drop || fail "notifier is not in notifier-drop"
useradd alice --groups notifier-drop
useradd bob
drop_as bob bob.json '{}' 2> "$LOGS/bob" && fail "bob, who is not in notifier-drop, can drop files"
ok "the drop directory takes files of the group notifier-drop, and of nobody else"

readme 3
readme 4
for line in 'store: sqlite:/var/lib/notifier/notifier.db' '    api_key: {credential: aimlapi_key}' \
  '    secret: {credential: studio_secret}' "drop: {directory: $DROP}"; do
  grep -cxF "$line" $CONFIG > /dev/null || fail "the README did not make this line of $CONFIG: $line"
done
SECRET=whsec_$(head -c 32 /dev/urandom | base64 -w 0)
(umask 077 && echo "$KEY" > /etc/notifier/credentials/aimlapi_key && echo "$SECRET" > /etc/notifier/credentials/studio_secret)
readme 5
readme 6
[ -z "$(ls -A /var/lib/notifier "$DROP" | grep -v ':$')" ] || fail "notifier check left something behind"
ok "the configuration as the README makes it is good"
beside emulator "$NOTIFIER" emulate --port 8788 --api-key "$KEY"
listener first 8701
listener second 8702
for port in 8788 8701 8702; do within 20 "something listens on port $port" listens $port; done

# ---- start, and a file of another user
configure 8701
readme 7
is ActiveState active || fail "not active after systemctl enable --now"
within 5 "no READY=1" told READY=1
within 5 "no STATUS" told STATUS=
[ -n "$(property StatusText)" ] || fail "the status line is empty"
is TasksMax 256 && ! is MemoryMax infinity || fail "TasksMax is $(property TasksMax), MemoryMax $(property MemoryMax)"
property IPAddressDeny | grep -q fd00:ec2::254 || fail "IPAddressDeny is $(property IPAddressDeny)"
ok "started: READY and a status line ($(property StatusText))"

stat -c '%a %U:%G' /run/credentials/notifier.service/aimlapi_key > "$LOGS/credential"
setpriv --reuid alice --regid alice --init-groups cat /run/credentials/notifier.service/aimlapi_key > /dev/null 2>&1 && fail "alice can read the credentials"
generation 1
drop_as alice first.json "{\"id\": \"$id\"}"
within 20 "a callback for alice's file" received first "$id"
within 5 "alice's file is in done/" compgen -G "$DROP/done/*first.json"
[ ! -e $DROP/first.json ] || fail "alice's file is still there"
ok "alice dropped a file, the callback came, signed with a credential (in the unit: $(cat "$LOGS/credential"))"

drop_as alice wrong.json '{"id": "x", "colour": "blue"}'
within 20 "a .error file that alice can read" setpriv --reuid alice --regid alice --init-groups sh -c "cat $DROP/rejected/*wrong.json.error"
grep -q colour $DROP/rejected/*wrong.json.error || fail "the .error file does not name the fault"
ok "a wrong file is refused, and alice can read why"

# ---- commands, over the socket in the runtime directory
[ "$(stat -c '%a %U:%G' /run/notifier /run/notifier/api.sock | xargs)" = "750 notifier:notifier 660 notifier:notifier" ] \
  || fail "the socket is $(stat -c '%a %U:%G' /run/notifier /run/notifier/api.sock | xargs)"
useradd carol --groups notifier
setpriv --reuid carol --regid carol --init-groups "$NOTIFIER" test studio --config $CONFIG > "$LOGS/carol" || fail "carol: $(cat "$LOGS/carol")"
grep -c 'delivered (' "$LOGS/carol" > /dev/null || fail "the test message of carol: $(cat "$LOGS/carol")"
code=0
setpriv --reuid bob --regid bob --init-groups "$NOTIFIER" test studio --socket /run/notifier/api.sock 2> "$LOGS/bob" || code=$?
[ "$code" = 78 ] && grep -c 'be in the group notifier' "$LOGS/bob" > /dev/null || fail "bob: exit $code, $(cat "$LOGS/bob")"
"$NOTIFIER" redeliver --generation "$id" --config $CONFIG > "$LOGS/again" || fail "redeliver: $(cat "$LOGS/again")"
again() { [ "$(grep -c "\"generation_id\":\"$id\"" "$LOGS/first")" -ge 2 ]; }
within 20 "the callback a second time" again
ok "the group notifier commands the daemon, and nobody else; a callback came again"

# ---- reload
configure 8702
from_now
pid=$(property MainPID)
timeout 30 systemctl reload notifier || fail "systemctl reload does not end: no READY after RELOADING?"
within 10 "the reload" logged config.reloaded
within 10 "RELOADING, then READY" told READY=1
within 5 "no RELOADING=1" told 'RELOADING=1.*MONOTONIC_USEC=[0-9]'
within 5 "active again" is ActiveState active
is MainPID "$pid" || fail "reload made another process"
generation 1
drop_as alice second.json "{\"id\": \"$id\"}"
within 20 "a callback at the new url" received second "$id"
not_received first "$id" || fail "the old url was called too"
ok "reloaded: a changed url acts, same process"

echo 'endpoints: [not, what, belongs, here]' > "$CONFIG"
from_now
timeout 30 systemctl reload notifier || fail "systemctl reload does not end: no READY after RELOADING?"
within 10 "the refusal in the journal, with the priority of an error" logged_at err config.refused
within 10 "READY after a refused reload" told READY=1
within 5 "no RELOADING=1" told RELOADING=1
within 5 "active after a refused reload" is ActiveState active
is MainPID "$pid" || fail "a refused reload made another process"
generation 1
drop_as alice third.json "{\"id\": \"$id\"}"
within 20 "a callback by the old configuration" received second "$id"
configure 8702
ok "a wrong new configuration is refused, the old one goes on, the unit stays active"

# ---- kill -9 with one callback owed and one generation still running
systemctl stop test-second
generation 0
owed=$id
generation 6
running=$id
from_now
drop_as alice fourth.json "[{\"id\": \"$owed\"}, {\"id\": \"$running\"}]"
within 20 "a failed attempt" logged "delivery.attempted.*$owed\|$owed.*delivery.attempted"
before=$(property NRestarts)
systemctl kill --kill-whom=main --signal=KILL notifier
within 20 "systemd starts it again" restarts_above "$before"
within 20 "active after kill -9" runs_other_than "$pid"
listener second 8702
within 40 "the callback that was owed" received second "$owed"
within 40 "the callback of the generation that ran on" received second "$running"
ok "kill -9: started again by systemd, both callbacks came"

# ---- watchdog
mkdir -p /etc/systemd/system/notifier.service.d
printf '[Service]\nWatchdogSec=3s\n' > /etc/systemd/system/notifier.service.d/test-watchdog.conf
systemctl daemon-reload
systemctl restart notifier
from_now
pid=$(property MainPID)
fed() { [ "$(told WATCHDOG=1)" -ge 4 ]; }
within 30 "the watchdog is fed" fed
is MainPID "$pid" || fail "the watchdog killed a daemon that works"
before=$(property NRestarts)
kill -STOP "$pid"
within 30 "the watchdog has it started again" restarts_above "$before"
within 20 "active after the watchdog" runs_other_than "$pid"
within 5 "it was the watchdog" told_by_systemd 'Watchdog timeout'
generation 1
drop_as alice fifth.json "{\"id\": \"$id\"}"
within 20 "a callback after the watchdog" received second "$id"
rm /etc/systemd/system/notifier.service.d/test-watchdog.conf
systemctl daemon-reload
ok "watchdog: fed while it works, started again when it hangs"

# ---- stop while the provider is slow to answer: a look is always in flight
systemctl restart notifier
curl -sSf "$PROVIDER/_emulator/faults" -d '{"slow": 1, "slow_by": 30}' > /dev/null
generation never
drop_as alice sixth.json "{\"id\": \"$id\"}"
within 20 "the look is in flight" look_in_flight
from_now
begun=$SECONDS
systemctl stop notifier
took=$((SECONDS - begun))
is Result success || fail "stopped with result $(property Result)"
is ExecMainCode 1 && is ExecMainStatus 0 || fail "stopped with code $(property ExecMainCode), status $(property ExecMainStatus)"
[ "$took" -lt 20 ] || fail "the stop took $took s: it waited for the look"
within 5 "no STOPPING=1" told STOPPING=1
curl -sSf "$PROVIDER/_emulator/faults" -d '{"slow": 0}' > /dev/null
ok "stopped with exit 0 in about $took s while a 30 s look was in flight"

# ---- a wrong configuration at start
echo 'store: nowhere' > "$CONFIG"
from_now
systemctl start notifier 2> /dev/null && fail "it started with a wrong configuration"
within 5 "the unit is failed" is SubState failed
is ExecMainStatus 78 || fail "exit $(property ExecMainStatus), not 78"
is NRestarts 0 || fail "systemd tried again"
within 5 "the journal does not name the file" logged "$CONFIG"
ok "a wrong configuration: exit 78, no restart"

# ---- and it comes back
configure 8702
systemctl start notifier
generation 1
drop_as alice seventh.json "{\"id\": \"$id\"}"
within 20 "a callback in the end" received second "$id"
grep -c '"verified":false' "$LOGS"/first "$LOGS"/second > /dev/null && fail "a callback did not verify"
journalctl -u notifier -o cat | grep -cF -e "$KEY" -e "$SECRET" > /dev/null && fail "a secret is in the journal"
ok "after all that it works, and no secret is in the journal"

echo "systemd: $passed steps passed on $(. /etc/os-release && echo "$PRETTY_NAME"), $(systemctl --version | head -n 1), $("$PYTHON" --version)"
