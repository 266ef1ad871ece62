#include "tests/support/transcript.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <regex>

#include "base/strings.h"

namespace mail::test {
namespace {

struct Step {
  int line = 0;
  int session = 1;
  enum class Kind { client, server, server_regex, server_never, closed, tls } kind = Kind::client;
  std::string text;
};

struct Transcript {
  std::string path;
  TranscriptSettings settings;
  std::vector<Step> steps;
};

// Catch2's macros cost a lot per call; only failures reach it.
void failed(const std::string& path, int line, const std::string& what) { FAIL(path << ":" << line << ": " << what); }

bool read_step(std::string_view text, Step& step) {
  if (text.size() < 2 || (text[0] != 'C' && text[0] != 'S')) return false;
  const bool client = text[0] == 'C';
  text.remove_prefix(1);
  std::size_t digits = 0;
  while (digits < text.size() && is_digit(static_cast<unsigned char>(text[digits]))) ++digits;
  step.session = parse_decimal<int>(text.substr(0, digits)).value_or(1);
  text.remove_prefix(digits);
  const auto take = [&](std::string_view mark, Step::Kind kind) {
    if (!text.starts_with(mark)) return false;
    text.remove_prefix(mark.size());
    if (text.starts_with(' ')) text.remove_prefix(1);
    step.kind = kind;
    step.text = text;
    return true;
  };
  if (client) {
    if (take("-raw:", Step::Kind::client)) {
      step.text = unescape(step.text);
      return true;
    }
    if (take("-tls", Step::Kind::tls)) return true;
    if (!take(":", Step::Kind::client)) return false;
    step.text += "\r\n";
    return true;
  }
  return take("-closed", Step::Kind::closed) || take(":", Step::Kind::server) || take("~", Step::Kind::server_regex) ||
         take("!", Step::Kind::server_never);
}

Transcript read_transcript(const std::string& path) {
  Transcript transcript{.path = path};
  std::ifstream file(path);
  if (!file) failed(path, 0, "cannot be opened");
  std::string text;
  for (int line = 1; std::getline(file, text); ++line) {
    if (text.empty() || text[0] == '#') continue;
    Step step{.line = line};
    if (read_step(text, step)) {
      transcript.steps.push_back(std::move(step));
      continue;
    }
    const auto [word, values] = split_once(text, ':');
    if (!transcript.steps.empty() || word.size() == text.size()) failed(path, line, "not understood: " + text);
    for (const auto value : split_words(values)) {
      const auto [name, set] = split_once(value, '=');
      transcript.settings[std::string(name)] = std::string(set);
    }
  }
  return transcript;
}

class Run {
 public:
  Run(const Transcript& transcript, const TranscriptFactory& factory, bool octetwise)
      : transcript_(transcript), open_(factory(transcript.settings)), octetwise_(octetwise) {}

  void run() {
    for (std::size_t i = 0; i < transcript_.steps.size(); ++i) {
      const auto& step = transcript_.steps[i];
      line_ = step.line;
      auto& session = session_of(step.session);
      switch (step.kind) {
        case Step::Kind::client: {
          nothing_left(session);
          std::string octets = expand(step.text);
          while (i + 1 < transcript_.steps.size() && transcript_.steps[i + 1].kind == Step::Kind::client &&
                 transcript_.steps[i + 1].session == step.session)
            octets += expand(transcript_.steps[++i].text);
          session.never.clear();
          send(session, octets);
          break;
        }
        case Step::Kind::server:
        case Step::Kind::server_regex:
          expect(session, step);
          break;
        case Step::Kind::server_never:
          session.never.push_back(step.text);
          break;
        case Step::Kind::closed:
          nothing_left(session);
          if (!session.conversation->closed()) fail("the server did not close");
          break;
        case Step::Kind::tls:
          nothing_left(session);
          session.conversation->start_tls();
          break;
      }
    }
    for (auto& [number, session] : sessions_) nothing_left(session);
  }

 private:
  struct Session {
    std::unique_ptr<Conversation> conversation;
    std::string output;
    std::vector<std::string> never;
  };

  void fail(const std::string& what) const {
    failed(transcript_.path, line_, what + (octetwise_ ? " (octet by octet)" : " (whole)"));
  }

  Session& session_of(int number) {
    auto& session = sessions_[number];
    if (!session.conversation) {
      session.conversation = open_(number);
      session.output = session.conversation->greeting();
    }
    return session;
  }

  void send(Session& session, const std::string& octets) {
    if (!octetwise_) {
      session.output += session.conversation->receive(octets);
      return;
    }
    for (const char octet : octets) session.output += session.conversation->receive(std::string_view(&octet, 1));
  }

  void nothing_left(Session& session) {
    session.output += session.conversation->pending();
    while (!session.output.empty()) {
      const auto line = take_line(session);
      if (session.never.empty()) fail("the server also says: " + printable(line));
    }
  }

  std::string take_line(Session& session) {
    const auto end = session.output.find('\n');
    auto line = session.output.substr(0, end);
    session.output.erase(0, end == std::string::npos ? end : end + 1);
    if (end != std::string::npos && !line.ends_with('\r')) fail("the server's line ends with a bare LF: " + line);
    if (line.ends_with('\r')) line.pop_back();
    for (const auto& never : session.never)
      if (line.starts_with(never)) fail("must not come: " + printable(line));
    return line;
  }

  void expect(Session& session, const Step& step) {
    session.output += session.conversation->pending();
    if (session.output.empty()) return fail("the server says nothing; expected: " + step.text);
    const auto line = take_line(session);
    const bool same =
        step.kind == Step::Kind::server ? matches(step.text, line) : std::regex_match(line, std::regex(step.text));
    if (!same) fail("expected: " + step.text + "\n  but the server says: " + printable(line));
  }

  // `$name` in an expected line: a word.
  bool matches(const std::string& expected, const std::string& line) {
    std::size_t at = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      if (expected[i] != '$' || i + 1 >= expected.size()) {
        if (at >= line.size() || line[at++] != expected[i]) return false;
        continue;
      }
      if (expected[i + 1] == '$') {
        if (at >= line.size() || line[at++] != '$') return false;
        ++i;
        continue;
      }
      std::size_t end = i + 1;
      while (end < expected.size() && (is_alnum(static_cast<unsigned char>(expected[end])) || expected[end] == '_'))
        ++end;
      const auto name = expected.substr(i + 1, end - i - 1);
      const char stop = end < expected.size() ? expected[end] : ' ';
      std::size_t word_end = at;
      while (word_end < line.size() && line[word_end] != ' ' && line[word_end] != stop) ++word_end;
      const auto word = line.substr(at, word_end - at);
      const auto [known, added] = captured_.try_emplace(name, word);
      if (!added && known->second != word) return false;
      at = word_end;
      i = end - 1;
    }
    return at == line.size();
  }

  std::string expand(std::string text) const {
    for (const auto& [name, value] : captured_) text = replace_all(text, "$" + name, value);
    return text;
  }

  const Transcript& transcript_;
  OpenConversation open_;
  bool octetwise_;
  int line_ = 0;
  std::map<int, Session> sessions_;
  std::map<std::string, std::string, std::greater<>> captured_;  // longer names first: $uid2 before $uid
};

}  // namespace

std::string unescape(std::string_view text) {
  std::string octets;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      octets += text[i];
      continue;
    }
    switch (text[++i]) {
      case 'r':
        octets += '\r';
        break;
      case 'n':
        octets += '\n';
        break;
      case 't':
        octets += '\t';
        break;
      case '0':
        octets += '\0';
        break;
      case 'x':
        octets += from_hex(text.substr(i + 1, 2)).value_or("?");
        i += 2;
        break;
      case '*': {
        const auto open = text.find('{', i);
        const auto close = text.find('}', i);
        const auto times = parse_decimal(text.substr(i + 1, open - i - 1)).value_or(0);
        const auto repeated = unescape(text.substr(open + 1, close - open - 1));
        for (std::uint64_t n = 0; n < times; ++n) octets += repeated;
        i = close;
        break;
      }
      default:
        octets += text[i];
    }
  }
  return octets;
}

void run_transcript(const std::string& path, const TranscriptFactory& factory) {
  const auto transcript = read_transcript(path);
  Run(transcript, factory, false).run();
  Run(transcript, factory, true).run();
}

void run_transcripts(const std::string& directory, const TranscriptFactory& factory) {
  const auto root = std::filesystem::path(RELAIS_SOURCE_DIR) / "tests" / directory;
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(root))
    if (entry.path().extension() == ".txt") paths.push_back(entry.path().string());
  std::ranges::sort(paths);
  REQUIRE(!paths.empty());
  for (const auto& path : paths) {
    DYNAMIC_SECTION(std::filesystem::path(path).filename().string()) { run_transcript(path, factory); }
  }
}

}  // namespace mail::test
