// man/relais.toml.5 says every key: its list is written from the table. `UPDATE_GOLDEN=1
// build/debug/tests/config/test_config` rewrites it.
#include <catch2/catch.hpp>
#include <fstream>

#include "base/strings.h"
#include "config/load.h"
#include "tests/support/fixtures.h"

using namespace mail;

namespace {

constexpr std::string_view kBegin = ".\\\" keys: begin\n";
constexpr std::string_view kEnd = ".\\\" keys: end\n";

/// In a macro line a quote or backslash needs an escape.
std::string roff(std::string_view text) { return replace_all(replace_all(text, "\\", "\\e"), "\"", "\\(dq"); }

std::string key_list() {
  std::string out;
  std::string section;
  for (const auto& key : config::all_keys()) {
    const auto [in, name] = split_once(key.name, '.');
    if (in != section) {
      if (!section.empty()) out += ".El\n";
      section = in;
      out += concat({".Ss [", section, "]\n.Bl -tag -width Ds\n"});
    }
    out += concat({".It Ic ", name, "\n", roff(key.description), "\n(", key.kind});
    if (key.kind != "table" && key.kind != "tables") out += concat({"; default ", roff(key.default_value)});
    out += ")\n";
  }
  return out + ".El\n";
}

}  // namespace

TEST_CASE("relais.toml(5) lists every key with its default") {
  const std::string path = RELAIS_SOURCE_DIR "/man/relais.toml.5";
  const auto page = test::read_path(path);
  const auto begin = page.find(kBegin);
  const auto end = page.find(kEnd);
  REQUIRE(begin != std::string::npos);
  REQUIRE(end != std::string::npos);
  const auto written = page.substr(begin + kBegin.size(), end - begin - kBegin.size());
  if (test::update_golden() && written != key_list()) {
    std::ofstream(path) << page.substr(0, begin) << kBegin << key_list() << page.substr(end);
    return;
  }
  INFO("UPDATE_GOLDEN=1 rewrites the list");
  CHECK(written == key_list());
}
