#include "store/mailbox_name.h"

#include "base/mutf7.h"
#include "base/strings.h"

namespace mail::store {

namespace {

constexpr std::string_view kInbox = "INBOX";

}  // namespace

Result<std::string> normal_name(std::string_view name, const NameRules& rules) {
  const auto refuse = [](std::string_view why) { return fail(Error::Kind::refused, concat({"mailbox name: ", why})); };
  if (name.empty()) return refuse("empty");
  if (!is_utf8(name)) return refuse("not UTF-8");
  for (const char c : name)
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7F) return refuse("control character");
  std::string out(name);
  if (istarts_with(out, kInbox) && (out.size() == kInbox.size() || out[kInbox.size()] == rules.separator))
    out.replace(0, kInbox.size(), kInbox);
  if (out == kInbox) return out;
  for (const auto part : split(out, rules.separator)) {
    if (part.empty()) return refuse("empty part");
    if (part == "." || part == "..") return refuse("not allowed");
    if (part.find('/') != std::string_view::npos) return refuse("'/' is not allowed");
    if (part.find('.') != std::string_view::npos) return refuse("'.' is not allowed");
    if (part.front() == '~') return refuse("'~' is not allowed at the start");
  }
  if (folder_of(out, rules).size() > kNameOctetsMost) return refuse("too long");
  return out;
}

std::string folder_of(std::string_view name, const NameRules& rules) {
  if (name == kInbox) return {};
  std::string out(1, '.');
  out += rules.utf8_on_disk ? std::string(name) : to_mutf7(name).value_or(std::string(name));
  for (auto& c : out)
    if (c == rules.separator) c = '.';
  return out;
}

std::optional<std::string> name_of(std::string_view folder, const NameRules& rules) {
  if (folder.size() < 2 || folder.front() != '.' || folder == "..") return std::nullopt;
  auto out = rules.utf8_on_disk ? std::optional(std::string(folder.substr(1))) : from_mutf7(folder.substr(1));
  if (!out) return std::nullopt;
  for (auto& c : *out)
    if (c == '.') c = rules.separator;
  auto normal = normal_name(*out, rules);
  if (!normal || *normal != *out || *normal == kInbox) return std::nullopt;
  return out;
}

bool name_less(std::string_view a, std::string_view b, char separator) {
  const bool a_inbox = a == kInbox, b_inbox = b == kInbox;
  if (a_inbox != b_inbox) return a_inbox;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) {
    if (a[i] == b[i]) continue;
    const int x = a[i] == separator ? -1 : static_cast<unsigned char>(a[i]);
    const int y = b[i] == separator ? -1 : static_cast<unsigned char>(b[i]);
    return x < y;
  }
  return a.size() < b.size();
}

}  // namespace mail::store
