#include "mda/program.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>

#include "tests/support/fixtures.h"

using namespace mail;
using namespace mail::mda;
using namespace std::chrono_literals;

namespace {
/// The tests may run as root: programs then run as nobody.
ProgramCall shell(std::string script) {
  ProgramCall call{.argv = {"/bin/sh", "-c", std::move(script)},
                   .environment = program_environment(nullptr, "a@b\r\nX=y", "ann+x@example.test", "x")};
  if (geteuid() == 0) call.uid = 65534, call.gid = 65534;
  return call;
}
}  // namespace

TEST_CASE("a program's exit code decides") {
  signal(SIGPIPE, SIG_IGN);
  CHECK(run_program(shell("grep -q body"), "Subject: x\n\nbody\n", 10s).ok());
  CHECK(run_program(shell("exit 75"), "x", 10s).kind == Outcome::Kind::temporary);
  CHECK(run_program(shell("exit 111"), "x", 10s).kind == Outcome::Kind::temporary);
  CHECK(run_program(shell("exit 67"), "x", 10s).status == "5.1.1");
  CHECK(run_program(shell("exit 77"), "x", 10s).status == "5.7.1");
  CHECK(run_program(shell("kill -KILL $$"), "x", 10s).kind == Outcome::Kind::temporary);
  const auto failed = run_program(shell("echo cause of it >&2; exit 1"), "x", 10s);
  CHECK(failed.kind == Outcome::Kind::permanent);
  CHECK(failed.text.find("cause of it") != std::string::npos);
  CHECK(run_program({.argv = {"/no/such"}, .uid = 65534, .gid = 65534}, "x", 10s).kind == Outcome::Kind::temporary);
  CHECK(run_program(shell("sleep 20"), "x", 1s).kind == Outcome::Kind::temporary);
}

TEST_CASE("nothing from the network becomes a command, an option or a second variable") {
  const auto outcome = run_program(shell("[ \"$SENDER\" = 'a@bX=y' ] && [ \"$LOCAL\" = ann+x ] && [ \"$DOMAIN\" = "
                                         "example.test ] && [ \"$EXTENSION\" = x ] && [ -z \"$X\" ]"),
                                   "x", 10s);
  CHECK(outcome.ok());
  directory::User user;
  user.name = "ann@example.test";
  user.home = "/home/ann";
  CHECK(with_values({"/bin/p", "%u", "%n-%d", "%s", "%e", "%%h", "%"}, user, "$(reboot) x", "r@x", "d;e") ==
        std::vector<std::string>{"/bin/p", "ann@example.test", "ann-example.test", "$(reboot) x", "d;e", "%h", "%"});
}

TEST_CASE("exit codes of pipe mode") {
  CHECK(exit_code(Outcome{}) == 0);
  CHECK(exit_code(temporary("4.2.2", "")) == 75);
  CHECK(exit_code(permanent("5.1.1", "")) == 67);
  CHECK(exit_code(permanent("5.7.1", "")) == 77);
  CHECK(exit_code(permanent("5.2.2", "")) == 69);
  CHECK(worse(temporary("4", ""), permanent("5", "")).status == "4");
  CHECK(worse(Outcome{}, permanent("5", "")).status == "5");
}
