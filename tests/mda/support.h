// A small site for the tests of delivery: users with Maildirs below a temporary directory, aliases, a spool.
#pragma once
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/strings.h"
#include "config/load.h"
#include "mda/environment.h"
#include "tests/support/fixtures.h"

namespace mail::mda::test {

struct Site {
  mail::test::TemporaryDirectory directory;
  config::Settings settings;
  std::unique_ptr<Environment> environment;

  explicit Site(std::string_view more = "", std::string_view aliases = "") {
    std::ofstream(directory / "users")
        << "ann:{PLAIN}x::::" << (directory / "home/ann")
        << "\nbob:{PLAIN}x\ncarl:{PLAIN}x\nsmall:{PLAIN}x::::::userdb_quota_rule=*:bytes=2000\n"
        << "old:{PLAIN}x::::::userdb_mail=mbox:" << (directory / "mbox/old") << "\n";
    std::ofstream(directory / "aliases") << replace_all(aliases, "DIR", directory.path().string());
    std::filesystem::create_directories(directory / "home/ann");
    std::filesystem::create_directories(directory / "mbox");
    auto loaded =
        config::load_text(concat({"[host]\nname = \"mx.example.test\"\ndomains = [\"example.test\"]\n[log]\ntarget = "
                                  "\"none\"\n[mail]\nroot = \"",
                                  directory / "mail/%n", "\"\n[users]\npasswd_file = \"", directory / "users",
                                  "\"\naliases_file = \"", directory / "aliases", "\"\n[spool]\ndirectory = \"",
                                  directory / "spool", "\"\njournal_segment = \"1MB\"\n", more}));
    if (!loaded) throw std::runtime_error(to_string(loaded.error().front()));
    settings = std::move(*loaded);
    std::filesystem::create_directory(directory / "mail");
  }
  Environment& open(bool with_spool = true) {
    auto opened = Environment::open(settings, with_spool, {.as_root = true});
    if (!opened) throw std::runtime_error(opened.error().text);
    environment = std::move(*opened);
    return *environment;
  }
  /// The messages of a user's INBOX, or of a folder (".Sub").
  std::vector<std::string> messages(const std::string& user, const std::string& folder = "") const {
    std::vector<std::string> out;
    for (const auto* part : {"new", "cur"}) {
      const auto path = std::filesystem::path(directory / ("mail/" + user)) / folder / part;
      if (!std::filesystem::exists(path)) continue;
      for (const auto& entry : std::filesystem::directory_iterator(path))
        out.push_back(mail::test::read_path(entry.path()));
    }
    return out;
  }
};

}  // namespace mail::mda::test
