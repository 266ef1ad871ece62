// The value of one body item, produced in pieces: a literal of 10 GB takes no more memory than one of 10 KB.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "imap/section.h"
#include "message/tree.h"
#include "store/message_file.h"

namespace mail::imapd {

class BodyOctets {
 public:
  BodyOctets() = default;
  /// All of a message, with CRLF line ends.
  static BodyOctets whole(std::shared_ptr<store::MessageFile> file);
  /// A range of a message as stored; `wire_octets`: its length with CRLF line ends.
  static BodyOctets range(std::shared_ptr<store::MessageFile> file, std::string_view raw, std::uint64_t wire_octets);
  static BodyOctets text(std::string octets);

  /// Restricts to what `partial` asks for; call once.
  void cut(const imap::Partial& partial);
  std::uint64_t octets() const { return remaining_; }
  bool has_nul() const;
  /// Appends about `most` octets; true when all are out.
  bool produce(std::string& out, std::size_t most);

 private:
  void skip(std::uint64_t octets);
  std::shared_ptr<store::MessageFile> file_;
  bool whole_ = false;
  std::uint64_t offset_ = 0;  ///< Of the whole form.
  std::string_view raw_;      ///< What of a range is not out yet.
  char last_ = 0;             ///< The octet before raw_.
  std::string ready_;         ///< Converted already, not out yet.
  std::size_t ready_at_ = 0;
  std::uint64_t remaining_ = 0;
};

/// Length of `raw` with CRLF line ends.
std::uint64_t wire_octets(std::string_view raw);

/// A message that is being looked at, parsed where that is needed.
class MessageContent {
 public:
  explicit MessageContent(std::shared_ptr<store::MessageFile> file) : file_(std::move(file)) {}
  /// BODY[section]: nothing where the message has no such part.
  std::optional<BodyOctets> body(const imap::Section& section);
  /// BINARY[part]: transfer encoding undone. refused where the encoding is not known; nothing where there is no such
  /// part.
  Result<std::optional<BodyOctets>> binary(const imap::Section& section);
  const message::Tree& tree();
  std::string_view raw() const { return file_->raw(); }

 private:
  std::shared_ptr<store::MessageFile> file_;
  std::optional<message::Tree> tree_;
};

/// Those fields of a header that the section names (or all others), each with its line ends, and the empty line; CRLF.
std::string filter_header(std::string_view header, const imap::Section& section);

}  // namespace mail::imapd
