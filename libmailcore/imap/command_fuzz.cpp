// The command reader and the grammar behind it: whatever comes, in whatever pieces, memory is bounded and the events
// are the same.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/overloaded.h"
#include "imap/arguments.h"
#include "imap/command_reader.h"
#include "imap/notify.h"
#include "imap/search_program.h"
#include "imap/section.h"

namespace {

using mail::imap::CommandReader;

const mail::imap::ReaderLimits kLimits{
    .line_octets = 1024, .literal_octets = 512, .message_octets = 2048, .skip_octets = 8192};

std::string events(std::string_view input, std::size_t piece) {
  CommandReader reader(kLimits);
  std::string out;
  std::string diverted;
  while (!input.empty()) {
    const auto length = piece < input.size() ? piece : input.size();
    reader.receive(input.substr(0, length));
    input.remove_prefix(length);
    while (auto event = reader.next()) {
      std::visit(
          mail::overloaded{
              [&](const CommandReader::Command& command) {
                (out += "C ")
                    .append(command.tag)
                    .append(" ")
                    .append(command.name)
                    .append(" ")
                    .append(command.arguments) += '\n';
                reader.finish();
              },
              [&](const CommandReader::Literal& literal) {
                out += "L " + std::to_string(literal.octets) + '\n';
                if (literal.octets % 7 == 3)
                  reader.refuse_literal("refused", true);
                else if (literal.octets % 7 == 5)
                  reader.divert_literal();
                else
                  reader.accept_literal();
              },
              [&](const CommandReader::LiteralOctets& octets) {
                diverted += octets.octets;
                if (octets.last) out += "D " + diverted + '\n', diverted.clear();
              },
              [&](const CommandReader::Line& line) { (out += "- ").append(line.text) += '\n'; },
              [&](const CommandReader::Refused& refused) { out += "R " + refused.tag + ' ' + refused.text + '\n'; },
          },
          *event);
    }
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (events(input, size == 0 ? 1 : size) != events(input, 1)) std::abort();
  mail::imap::Arguments fetch(input);
  if (auto attributes = mail::imap::take_fetch_attributes(fetch)) {
    for (const auto& attribute : *attributes) {
      if (!attribute.section) continue;
      // Parsing undoes printing.
      const std::string text = attribute.section->text() + "]";
      mail::imap::Arguments again{std::string_view(text)};
      const auto section = mail::imap::take_section(again);
      if (!section || *section != *attribute.section) std::abort();
    }
  }
  mail::imap::Arguments notify(input);
  if (const auto events = mail::imap::take_notify(notify))
    for (const auto& group : events->groups)
      if (((group.events & mail::imap::kMessageNew) != 0) != ((group.events & mail::imap::kMessageExpunge) != 0))
        std::abort();
  mail::imap::Arguments any(input);
  (void)any.skip_value();
  mail::imap::Arguments date(input);
  (void)date.date_time();
  return 0;
}
