#include "base/process.h"

#include <csignal>

#include <catch2/catch.hpp>

using namespace mail;
using namespace std::chrono_literals;

TEST_CASE("a program gets its argv, input and environment, and nothing else") {
  const std::string big(300000, 'x');
  auto finished = run({.argv = {"/usr/bin/wc", "-c"}, .input = big});
  REQUIRE(finished);
  CHECK(finished->exit_code == 0);
  CHECK(finished->output == "300000\n");
  finished = run({.argv = {"/usr/bin/env"}, .environment = {"A=b"}});
  CHECK(finished->output == "A=b\n");
  finished = run(
      {.argv = {"/bin/sh", "-c", "cat <&3; pwd; exit 67"}, .directory = "/tmp", .input = "on three\n", .input_fd = 3});
  CHECK(finished->output == "on three\n/tmp\n");
  CHECK(finished->exit_code == 67);
}

TEST_CASE("a program that does not read, does not end or does not exist") {
  const std::string big(1000000, 'x');
  signal(SIGPIPE, SIG_IGN);
  CHECK(run({.argv = {"/bin/true"}, .input = big})->exit_code == 0);
  const auto slow = run({.argv = {"/bin/sh", "-c", "sleep 30 & sleep 30"}, .time = 200ms});
  CHECK(slow->timed_out);
  CHECK(slow->signal == 9);
  CHECK(run({.argv = {"/no/such"}}).error().kind == Error::Kind::not_found);
  CHECK(run({.argv = {"/etc/passwd"}}).error().kind == Error::Kind::refused);
  CHECK(run({.argv = {"/bin/sh", "-c", "kill -TERM $$"}})->signal == 15);
  CHECK(run({.argv = {"/bin/sh", "-c", "yes | head -c 1000000"}, .output_octets = 100})->output.size() == 100);
}
