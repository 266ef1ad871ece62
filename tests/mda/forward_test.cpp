#include "mda/forward.h"

#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "tests/support/fixtures.h"

using namespace mail;
using namespace mail::mda;
using Kind = directory::AliasTarget::Kind;

namespace {
struct Home {
  mail::test::TemporaryDirectory directory;
  directory::User user;
  Home() {
    user.name = "ann";
    user.home = directory.path().string();
    user.uid = geteuid();
    chmod(user.home.c_str(), 0755);
  }
  void write(const std::string& name, std::string_view text, mode_t mode = 0644) const {
    std::ofstream(directory / name) << text;
    chmod((directory / name).c_str(), mode);
  }
};
}  // namespace

TEST_CASE("a .forward file, and one for a detail") {
  const Home home;
  CHECK_FALSE(read_forward(home.user, "")->has_value());
  home.write(".forward", "# mine\n\\ann, bob@example.net\n\"|/usr/bin/prog x\"\n/home/ann/archive\n");
  const auto targets = read_forward(home.user, "lists").value().value();
  REQUIRE(targets.size() == 4);
  CHECK(targets[0].final);
  CHECK(targets[1].text == "bob@example.net");
  CHECK(targets[2].argv == std::vector<std::string>{"/usr/bin/prog", "x"});
  CHECK(targets[3].kind == Kind::file);
  home.write(".forward+lists", "lists@example.net\n");
  CHECK(read_forward(home.user, "lists").value()->size() == 1);
  CHECK(read_forward(home.user, "../x").value()->size() == 4);
  home.write(".forward", "# nothing\n");
  CHECK_FALSE(read_forward(home.user, "")->has_value());
}

TEST_CASE("a .forward that somebody else could have written is refused") {
  const Home home;
  home.write(".forward", "x@y\n", 0664);
  CHECK(read_forward(home.user, "").error().kind == Error::Kind::refused);
  home.write(".forward", "x@y\n", 0646);
  CHECK(read_forward(home.user, "").error().kind == Error::Kind::refused);
  home.write(".forward", "x@y\n", 0644);
  CHECK(read_forward(home.user, "")->has_value());
  chmod(home.user.home.c_str(), 0777);
  CHECK(read_forward(home.user, "").error().kind == Error::Kind::refused);
  chmod(home.user.home.c_str(), 0755);
  link((home.directory / ".forward").c_str(), (home.directory / "second").c_str());
  CHECK(read_forward(home.user, "").error().kind == Error::Kind::refused);
  unlink((home.directory / ".forward").c_str());
  symlink("second", (home.directory / ".forward").c_str());
  CHECK_FALSE(read_forward(home.user, ""));
  unlink((home.directory / ".forward").c_str());
  mkfifo((home.directory / ".forward").c_str(), 0600);
  CHECK(read_forward(home.user, "").error().kind == Error::Kind::refused);
  if (geteuid() == 0) {
    unlink((home.directory / ".forward").c_str());
    home.write(".forward", "x@y\n");
    REQUIRE(chown((home.directory / ".forward").c_str(), 12345, 12345) == 0);
    CHECK(read_forward(home.user, "").error().kind == Error::Kind::refused);
  }
}

TEST_CASE("limits and mistakes") {
  const Home home;
  std::string many;
  for (int i = 0; i < 101; ++i) many += "a" + std::to_string(i) + "@x\n";
  home.write(".forward", many);
  CHECK(read_forward(home.user, "").error().kind == Error::Kind::syntax);
  home.write(".forward", "|relative\n");
  CHECK(read_forward(home.user, "").error().kind == Error::Kind::syntax);
  directory::User homeless;
  CHECK_FALSE(read_forward(homeless, "")->has_value());
  homeless.home = "/no/such/home";
  CHECK_FALSE(read_forward(homeless, "")->has_value());
}
