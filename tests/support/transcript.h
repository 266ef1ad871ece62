// Conversations as files (STYLE section 9): run against a protocol core, once with each block of the client in one
// piece and once octet by octet.
//
//   # comment                          first lines: what is tested, and the section of the RFC
//   limits: message_octets=1000        name=value words for the factory, any word before the colon
//   S: 220 mx.example.org ESMTP        the server's next line, exactly; `$name` stands for a word without blanks:
//   captured
//                                      the first time, compared later (also in C lines); `$$` is a dollar
//   S~ 250 .* queued as [0-9A-Z]+      the server's next line, as a regular expression
//   S! 250                             no line of the server begins so until the client's next line
//   C: EHLO client.example.net         a line of the client; consecutive ones are sent together
//   C-raw: a\n.\r\n                    exact octets: \r \n \t \0 \\ \xHH; `\*N{text}` repeats text N times
//   C-tls                              the TLS handshake took place
//   S-closed                           the server has closed
//   C2: S2: S2~ S2! C2-raw: …          a second session (C3, …), opened at its first line
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace mail::test {

/// One session of a server under test.
class Conversation {
 public:
  virtual ~Conversation() = default;
  /// What the server says first; empty where the client speaks first.
  virtual std::string greeting() = 0;
  /// Feeds octets, returns all octets the server sends because of them.
  virtual std::string receive(std::string_view octets) = 0;
  /// What the server sends without being spoken to (another session changed something); asked before each comparison.
  virtual std::string pending() { return {}; }
  virtual void start_tls() {}
  virtual bool closed() const = 0;
};

using TranscriptSettings = std::map<std::string, std::string>;
/// Opens session `number` (1, 2, …) of one transcript; all sessions of one run come from one factory object.
using OpenConversation = std::function<std::unique_ptr<Conversation>(int number)>;
/// Called once per run with the settings of the file.
using TranscriptFactory = std::function<OpenConversation(const TranscriptSettings&)>;

/// Runs one file both ways; each difference is a Catch2 failure naming file and line.
void run_transcript(const std::string& path, const TranscriptFactory& factory);
/// Runs all *.txt of a directory below tests/ (sorted); fails where there is none.
void run_transcripts(const std::string& directory, const TranscriptFactory& factory);
/// The octets of a C-raw text.
std::string unescape(std::string_view text);

}  // namespace mail::test
