#include "imapd/commands/catenate.h"

#include "base/strings.h"
#include "imapd/message_url.h"
#include "imapd/session.h"
#include "store/message_file.h"

namespace mail::imapd {
namespace {

constexpr std::size_t kMostParts = 1000;

/// In a response code: a URL that has none of these needs no change (RFC 4469 section 5, url-resp-text).
Completion bad_url(std::string_view url) {
  std::string text;
  for (const char c : url.substr(0, imap::kMostUrlOctets)) {
    const auto octet = static_cast<unsigned char>(c);
    if (octet < ' ' || octet > '~' || c == ']' || c == '\\' || c == '"')
      text += "%" + to_hex({&c, 1});
    else
      text += c;
  }
  return no(concat({"[BADURL \"", text, "\"] The URL names nothing that can be appended"}));
}

class Assembly {
 public:
  Assembly(Session& session, store::StagedMessage& to)
      : session_(session), to_(to), most_(session.environment().settings.imap.append_octets.count) {}

  std::optional<Completion> add(const CatenatePart& part) {
    if (!part.url.empty()) return add_url(part.url);
    if (!part.staged) return write(part.text);
    const auto content = part.staged->content();
    if (!content) return failed(content.error(), "Not appended");
    return write((*content)->raw());
  }

 private:
  std::optional<Completion> write(std::string_view octets) {
    if (to_.octets() + octets.size() > most_) return no("[TOOBIG] Message is too big");
    if (auto written = to_.write(octets); !written) return failed(written.error(), "Not appended");
    return std::nullopt;
  }

  std::optional<Completion> add_url(const std::string& text) {
    // Of the selected mailbox, without its name: relative to imap://user@server/mailbox (section 3).
    const bool of_selected = istarts_with(text, ";UID=") && session_.selected();
    const auto url = imap::parse_message_url(of_selected ? concat({"/INBOX/", text}) : text);
    // Only what this session may read anyway: nobody's server, nobody's user (section 3).
    if (!url || url->absolute || url->access) return bad_url(text);
    const auto refused = [&](const Error& error) {
      return error.kind == Error::Kind::temporary ? failed(error, "A message cannot be read") : bad_url(text);
    };
    std::shared_ptr<store::View> opened;
    if (!of_selected) {
      auto view = open_readable_url_mailbox(session_, *url);
      if (!view) return refused(view.error());
      opened = std::move(*view);
    }
    auto body = open_url_body(of_selected ? session_.view() : *opened, *url);
    if (!body) return refused(body.error());
    if (to_.octets() + body->octets() > most_) return no("[TOOBIG] Message is too big");
    std::string piece;
    for (bool last = body->octets() == 0; !last;) {
      piece.clear();
      last = body->produce(piece, Session::kPiece);
      if (auto refusal = write(piece)) return refusal;
    }
    return std::nullopt;
  }

  Session& session_;
  store::StagedMessage& to_;
  std::uint64_t most_;
};

}  // namespace

Result<std::vector<CatenatePart>> take_catenate(Session& session, imap::Arguments& arguments) {
  std::vector<CatenatePart> parts;
  MAIL_CHECK(arguments.open());
  do {
    if (parts.size() == kMostParts) return fail(Error::Kind::syntax, "Too many parts");
    CatenatePart part;
    if (arguments.take_word("URL ")) {
      MAIL_TRY(url, arguments.astring());
      if (url.empty()) return fail(Error::Kind::syntax, "URL expected");
      part.url = std::move(url);
    } else if (arguments.take_word("TEXT ")) {
      MAIL_TRY(text, session.take_message_literal(arguments));
      part.text = text.octets;
      part.staged = std::move(text.staged);
    } else {
      return fail(Error::Kind::syntax, "TEXT or URL expected");
    }
    parts.push_back(std::move(part));
  } while (arguments.take(' '));
  MAIL_CHECK(arguments.close());
  return parts;
}

tl::expected<std::shared_ptr<store::StagedMessage>, Completion> catenate(Session& session,
                                                                         const std::vector<CatenatePart>& parts) {
  auto staged = session.account().stage("INBOX");
  if (!staged) return tl::unexpected(failed(staged.error(), "Not appended"));
  Assembly assembly(session, **staged);
  for (const auto& part : parts)
    if (auto refusal = assembly.add(part)) return tl::unexpected(std::move(*refusal));
  return std::move(*staged);
}

}  // namespace mail::imapd
