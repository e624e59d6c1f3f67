"""Every text of the report, in English and in Indonesian. Pure.

Invariant: both languages have the same keys and the same places for values (a test holds them
against each other). Rules are named, never promised to be met. What is quoted from the record
(subjects, details, reasons) is in the language in which it was written.
"""

from __future__ import annotations

from enum import StrEnum

from failover.residency.ways import BY_CODE, WAYS, Seen


class Language(StrEnum):
    ENGLISH = "en"
    INDONESIAN = "id"


# Rules that the report helps with: the name, and the sections. What a rule is about is a text.
RULES: dict[str, tuple[str, ...]] = {
    "PP 71/2019": ("networks", "hosts"),
    "PP 80/2019": ("networks", "receivers", "findings", "cuts"),
    "UU 27/2022": ("receivers", "findings", "cuts", "exceptions", "unobservable"),
    "PBI": ("networks", "hosts", "receivers"),
    "POJK 11/POJK.03/2022": ("networks", "hosts", "gaps"),
    "PCI DSS": ("networks", "hosts", "receivers", "settings"),
}

_NEVER = tuple(way for way in WAYS if way.seen is Seen.NEVER)

ENGLISH: dict[str, str] = {
    "title": "Data residency: group {group}",
    "period": "Period",
    "period_is": "{first} to {last}, whole days in UTC ({from_} to {to})",
    "made": "Made",
    "made_is": "{made}, by failover {version}",
    "configuration": "Configuration",
    "configuration_is": "failover.yaml as it is now, SHA-256 {sha256}",
    "record": "Record",
    "record_is": "history entry {number}, SHA-256 {sha256}",
    "record_none": "no history, or its head cannot be read",
    "quoted": "Subjects, details and reasons are quoted as they were recorded. Times: UTC, "
    "Western Indonesian time (WIB, Jakarta), Central Indonesian time (WITA, Makassar).",
    "unreliable": "THIS REPORT CANNOT BE RELIED UPON AS IT STANDS: see Record.",
    "summary": "Summary",
    "summary_findings": "Findings that stood open at some time in the period: {count}. Open when "
    "the report was made: {open}. Of unknown end: {unknown}.",
    "summary_cuts": "Entries about sessions from outside that were ended: {count}.",
    "summary_gaps": "Gaps, a host that could not be looked at, wholly or in part: {count}.",
    "summary_exceptions": "Declared exceptions: {count}. Declared accepted findings: {accepted}.",
    "chain_whole": "The hash chain of the history is whole: {count} entries.",
    "chain_broken": "The hash chain of the history is NOT whole:",
    "compared": "It was compared with {count} heads from the logs of controllers.",
    "check_later": "To check later: failover history verify --head {number}:{sha256} says "
    "whether the history still has what this report was made from.",
    "findings": "Findings",
    "findings_none": "None stood open in the period.",
    "cuts": "Sessions ended",
    "cuts_none": "None in the period.",
    "cuts_off": "Cutting is switched off (residency.cut): sessions from outside are reported only.",
    "gaps": "Gaps",
    "gaps_none": "None on record in the period.",
    "exceptions": "Exceptions",
    "exceptions_none": "None: no network that the rule forbids is let in.",
    "accepted": "Accepted findings",
    "accepted_none": "None.",
    "networks": "Declared networks",
    "hosts": "Hosts",
    "receivers": "Receivers",
    "receivers_are": "Who may receive something of a database host, by the configuration: "
    "members of the same cluster (whole copies), proxies (answers to clients), controllers "
    "(states and positions, no row), declared endpoints. Clients: whoever stands in a network "
    "for clients.",
    "settings": "Settings that run a command or name a place",
    "settings_are": "As declared, by fingerprint; a server with another value is a finding.",
    "settings_none": "None declared: a server that has one is a finding.",
    "unobservable": "What cannot be observed",
    "unobservable_are": "Nobody can see these from where failover looks; what closes them instead.",
    "limits": "What this report does not say",
    "rules": "Rules it helps with",
    "rules_are": "Named for orientation. This report is no legal opinion, and that a rule is "
    "met is not promised: confirm with counsel.",
    "rule": "Rule",
    "about": "About",
    "sections": "Sections",
    "way": "Way out",
    "what": "What",
    "host": "Host",
    "subject": "Subject",
    "detail": "Detail",
    "from": "From",
    "to": "To",
    "at": "At",
    "why": "Why",
    "network": "Network",
    "site": "Site",
    "country": "Country",
    "owner": "Owner",
    "purpose": "Purpose",
    "expires": "Last day (UTC)",
    "approver": "Approver",
    "reason": "Reason",
    "name": "Name",
    "kind": "Kind",
    "cluster": "Cluster",
    "address": "Address",
    "in_network": "In network",
    "place": "Address or name",
    "setting": "Setting",
    "sha256": "SHA-256",
    "seen_instead": "What is seen",
    "closed_by": "Closed by",
    "no_end": "no end",
    "is_over": "{day}, over",
    "outside": "IN NONE THAT COUNTS",
    "end.open": "still so",
    "end.unknown": "not on record",
    "end.latest": "not on record, before {at}",
    "purpose.replication": "replication",
    "purpose.client": "client",
    "purpose.backup": "backup",
    "purpose.operations": "operations",
    "kind.database": "database",
    "kind.proxy": "proxy",
    "kind.zookeeper": "ZooKeeper",
    "kind.controller": "controller",
    "kind.replication": "member of the cluster",
    "kind.observer": "observer",
    "kind.endpoint": "declared endpoint",
    "limit.chain_not_whole": "The history is not whole ({count} findings about it): what was "
    "found, ended or not looked at may have been changed or removed.",
    "limit.ledger_unreadable": "What stands open now could not be read; the ends of findings "
    "are by the history alone.",
    "limit.disagreements": "The history and the record of what stands open disagree in "
    "{count} places; both are shown.",
    "limit.period_not_over": "The period had not ended when the report was made.",
    "limit.unchained": "{count} entries are from before there was a hash chain; nothing "
    "vouches for them.",
    "limit.left_out": "{count} findings or cuts had no room in their entries: they are on "
    "record as a number alone.",
    "limit.rewritten": "{count} times the record of what stands open could not be read and "
    "was written anew; when findings from before ended is not on record.",
    "limit.odd": "{count} details of entries are not understood.",
    "limit.not_compared": "The history was not compared with the logs of the controllers: who "
    "may write in ZooKeeper could have written all of it anew.",
    "limit.configuration_now": "Networks, hosts, receivers, exceptions and accepted findings "
    "are those of the configuration now. What was declared earlier in the period is not in the "
    "history; the versions of failover.yaml are kept elsewhere.",
    "limit.no_leader": "Only a leading controller writes. While there was none, or the "
    "ensemble had no quorum, nothing was written, and the history does not say that nobody "
    "looked.",
    "limit.short_gaps": "A gap, of a database host, is on record once it has lasted for a minute; "
    "shorter ones are not.",
    "limit.between_looks": "Sessions, slots, pg_hba.conf and settings are looked at every "
    "second, catalogues every 20 seconds; what came and went in between was not seen.",
    "limit.declared_sessions": "Sessions from declared networks are not recorded one by one. "
    "Who scrapes metrics or reads logs is known as far as it is declared.",
    "limit.gone_means": "A finding ends when a look did not see it any more, and also when it was "
    "accepted or its host left the configuration. What was accepted before it was found is not on "
    "record.",
    "limit.cut_again": "Somebody whose sessions are ended again and again is on record once a "
    "minute at most.",
    "limit.clock": "Times are those of the clock of the controller that led; a finding may "
    "have been there before it was found.",
    "rule.PP 71/2019": "Government Regulation on electronic systems and transactions: where "
    "systems and data are managed, processed and stored",
    "rule.PP 80/2019": "Government Regulation on trade through electronic systems: personal "
    "data in e-commerce and its transfer abroad",
    "rule.UU 27/2022": "Personal Data Protection Law, article 56: transfer of personal data "
    "outside of Indonesia",
    "rule.PBI": "Bank Indonesia's rules on payment services and their systems: where payment "
    "data is processed",
    "rule.POJK 11/POJK.03/2022": "Financial Services Authority's regulation on information "
    "technology of commercial banks: location of data centres and disaster recovery centres "
    "(banks)",
    "rule.PCI DSS": "Requirement 12.5.2: documented scope, with the places where data is "
    "stored and the ways it takes",
    **{f"instead.{way.code}": way.how for way in _NEVER},
    **{f"closed.{way.code}": way.closed_by for way in _NEVER},
}

INDONESIAN: dict[str, str] = {
    "title": "Residensi data: grup {group}",
    "period": "Periode",
    "period_is": "{first} sampai {last}, hari penuh dalam UTC ({from_} sampai {to})",
    "made": "Dibuat",
    "made_is": "{made}, oleh failover {version}",
    "configuration": "Konfigurasi",
    "configuration_is": "failover.yaml sebagaimana adanya sekarang, SHA-256 {sha256}",
    "record": "Catatan",
    "record_is": "entri riwayat {number}, SHA-256 {sha256}",
    "record_none": "tidak ada riwayat, atau kepalanya tidak dapat dibaca",
    "quoted": "Subjek, rincian, dan alasan dikutip sebagaimana dicatat. Waktu: UTC, Waktu "
    "Indonesia Barat (WIB, Jakarta), Waktu Indonesia Tengah (WITA, Makassar).",
    "unreliable": "LAPORAN INI BELUM DAPAT DIANDALKAN: lihat Catatan.",
    "summary": "Ringkasan",
    "summary_findings": "Temuan yang terbuka pada suatu waktu dalam periode: {count}. Terbuka "
    "ketika laporan dibuat: {open}. Akhir tidak diketahui: {unknown}.",
    "summary_cuts": "Entri tentang sesi dari luar daftar yang diputus: {count}.",
    "summary_gaps": "Celah, host yang tidak dapat diperiksa, seluruhnya atau sebagian: {count}.",
    "summary_exceptions": "Pengecualian yang dideklarasikan: {count}. Temuan yang diterima: "
    "{accepted}.",
    "chain_whole": "Rantai hash riwayat utuh: {count} entri.",
    "chain_broken": "Rantai hash riwayat TIDAK utuh:",
    "compared": "Riwayat dibandingkan dengan {count} kepala dari log controller.",
    "check_later": "Untuk memeriksa kemudian: failover history verify --head {number}:{sha256} "
    "menunjukkan apakah riwayat masih memuat dasar laporan ini.",
    "findings": "Temuan",
    "findings_none": "Tidak ada yang terbuka dalam periode.",
    "cuts": "Sesi yang diputus",
    "cuts_none": "Tidak ada dalam periode.",
    "cuts_off": "Pemutusan dimatikan (residency.cut): sesi dari luar daftar hanya dilaporkan.",
    "gaps": "Celah",
    "gaps_none": "Tidak ada yang tercatat dalam periode.",
    "exceptions": "Pengecualian",
    "exceptions_none": "Tidak ada: tidak ada jaringan terlarang yang diizinkan.",
    "accepted": "Temuan yang diterima",
    "accepted_none": "Tidak ada.",
    "networks": "Jaringan yang dideklarasikan",
    "hosts": "Host",
    "receivers": "Penerima",
    "receivers_are": "Siapa yang boleh menerima sesuatu dari host basis data, menurut "
    "konfigurasi: anggota klaster yang sama (salinan penuh), proxy (jawaban kepada klien), "
    "controller (status dan posisi, tanpa baris data), endpoint yang dideklarasikan. Klien: "
    "siapa pun di jaringan untuk klien.",
    "settings": "Setelan yang menjalankan perintah atau menunjuk tempat",
    "settings_are": "Sebagaimana dideklarasikan, berupa sidik jari; nilai lain pada server "
    "adalah temuan.",
    "settings_none": "Tidak ada yang dideklarasikan: bila ada pada server, itu temuan.",
    "unobservable": "Yang tidak dapat diamati",
    "unobservable_are": "Ini tidak dapat dilihat dari tempat failover mengamati; penutupnya "
    "disebutkan.",
    "limits": "Yang tidak dinyatakan laporan ini",
    "rules": "Aturan yang terbantu",
    "rules_are": "Disebut sebagai orientasi. Laporan ini bukan pendapat hukum dan tidak "
    "menjanjikan pemenuhan aturan: pastikan dengan penasihat hukum.",
    "rule": "Aturan",
    "about": "Tentang",
    "sections": "Bagian",
    "way": "Jalan keluar",
    "what": "Apa",
    "host": "Host",
    "subject": "Subjek",
    "detail": "Rincian",
    "from": "Dari",
    "to": "Sampai",
    "at": "Pada",
    "why": "Sebab",
    "network": "Jaringan",
    "site": "Lokasi",
    "country": "Negara",
    "owner": "Pemilik",
    "purpose": "Tujuan",
    "expires": "Hari terakhir (UTC)",
    "approver": "Penyetuju",
    "reason": "Alasan",
    "name": "Nama",
    "kind": "Jenis",
    "cluster": "Klaster",
    "address": "Alamat",
    "in_network": "Dalam jaringan",
    "place": "Alamat atau nama",
    "setting": "Setelan",
    "sha256": "SHA-256",
    "seen_instead": "Yang terlihat",
    "closed_by": "Ditutup oleh",
    "no_end": "tanpa akhir",
    "is_over": "{day}, sudah lewat",
    "outside": "TIDAK DALAM JARINGAN YANG BERLAKU",
    "end.open": "masih berlangsung",
    "end.unknown": "tidak tercatat",
    "end.latest": "tidak tercatat, sebelum {at}",
    "purpose.replication": "replikasi",
    "purpose.client": "klien",
    "purpose.backup": "cadangan",
    "purpose.operations": "operasional",
    "kind.database": "basis data",
    "kind.proxy": "proxy",
    "kind.zookeeper": "ZooKeeper",
    "kind.controller": "controller",
    "kind.replication": "anggota klaster",
    "kind.observer": "pengamat",
    "kind.endpoint": "endpoint yang dideklarasikan",
    "limit.chain_not_whole": "Riwayat tidak utuh ({count} temuan tentangnya): catatan tentang "
    "yang ditemukan, diputus, atau tidak diperiksa mungkin diubah atau dihapus.",
    "limit.ledger_unreadable": "Catatan tentang yang terbuka sekarang tidak dapat dibaca; "
    "akhir temuan hanya menurut riwayat.",
    "limit.disagreements": "Riwayat dan catatan tentang yang terbuka tidak cocok di {count} "
    "tempat; keduanya ditampilkan.",
    "limit.period_not_over": "Periode belum berakhir ketika laporan dibuat.",
    "limit.unchained": "{count} entri berasal dari masa sebelum ada rantai hash; tidak ada "
    "yang menjaminnya.",
    "limit.left_out": "{count} temuan atau pemutusan tidak muat dalam entrinya: hanya "
    "jumlahnya yang tercatat.",
    "limit.rewritten": "{count} kali catatan tentang yang terbuka tidak dapat dibaca dan "
    "ditulis ulang; akhir temuan sebelumnya tidak tercatat.",
    "limit.odd": "{count} rincian entri tidak dipahami.",
    "limit.not_compared": "Riwayat tidak dibandingkan dengan log controller: yang boleh "
    "menulis di ZooKeeper dapat menulis ulang seluruhnya.",
    "limit.configuration_now": "Jaringan, host, penerima, pengecualian, dan temuan yang "
    "diterima berasal dari konfigurasi saat ini. Deklarasi sebelumnya dalam periode tidak ada "
    "dalam riwayat; versi failover.yaml disimpan di tempat lain.",
    "limit.no_leader": "Hanya controller yang memimpin yang menulis. Selama tidak ada "
    "pemimpin, atau ensemble tanpa kuorum, tidak ada yang ditulis, dan riwayat tidak menyatakan "
    "bahwa tidak ada yang memeriksa.",
    "limit.short_gaps": "Celah, pada host basis data, dicatat setelah berlangsung satu menit; yang "
    "lebih singkat tidak.",
    "limit.between_looks": "Sesi, slot, pg_hba.conf, dan setelan diperiksa setiap detik, "
    "katalog setiap 20 detik; yang muncul dan hilang di antaranya tidak terlihat.",
    "limit.declared_sessions": "Sesi dari jaringan yang dideklarasikan tidak dicatat satu per "
    "satu. Pembaca metrik atau log diketahui sejauh dideklarasikan.",
    "limit.gone_means": "Temuan berakhir ketika pemeriksaan tidak melihatnya lagi, dan juga ketika "
    "temuan diterima atau host-nya keluar dari konfigurasi. Yang diterima sebelum ditemukan tidak "
    "tercatat.",
    "limit.cut_again": "Pihak yang sesinya diputus berulang kali dicatat paling sering sekali "
    "semenit.",
    "limit.clock": "Waktu menurut jam controller yang memimpin; temuan mungkin sudah ada "
    "sebelum ditemukan.",
    "rule.PP 71/2019": "Peraturan Pemerintah tentang Penyelenggaraan Sistem dan Transaksi "
    "Elektronik: tempat sistem dan data dikelola, diproses, dan disimpan",
    "rule.PP 80/2019": "Peraturan Pemerintah tentang Perdagangan Melalui Sistem Elektronik: "
    "data pribadi dalam perdagangan elektronik dan pengirimannya ke luar negeri",
    "rule.UU 27/2022": "Undang-Undang Pelindungan Data Pribadi, pasal 56: transfer data "
    "pribadi ke luar wilayah Indonesia",
    "rule.PBI": "Peraturan Bank Indonesia tentang jasa dan sistem pembayaran: tempat data "
    "pembayaran diproses",
    "rule.POJK 11/POJK.03/2022": "Peraturan OJK tentang penyelenggaraan teknologi informasi "
    "oleh bank umum: lokasi pusat data dan pusat pemulihan bencana (bank)",
    "rule.PCI DSS": "Persyaratan 12.5.2: ruang lingkup terdokumentasi, dengan tempat "
    "penyimpanan dan alur data",
    "instead.copy_to_program": "siapa yang boleh melakukannya terlihat (program_role, "
    "superuser_role), pelaksanaannya tidak",
    "instead.dblink_call": "ekstensi dan server terlihat, pemanggilannya tidak",
    "instead.tunnel": "sesi replikasi lewat loopback atau soket terlihat",
    "instead.file_copy": "terjadi di luar PostgreSQL",
    "closed.copy_to_program": "firewall host yang dirender",
    "closed.dblink_call": "event trigger; firewall yang dirender",
    "closed.tunnel": "firewall yang dirender, juga pada host relai",
    "closed.file_copy": "firewall host yang dirender; disk terenkripsi; pembatasan akses root",
}

TEXTS = {Language.ENGLISH: ENGLISH, Language.INDONESIAN: INDONESIAN}


def way_text(code: str, language: Language) -> str:
    """What a way out is; the code itself where this version does not know it."""
    way = BY_CODE.get(code)
    if way is None:
        return code
    return way.what if language is Language.ENGLISH else way.indonesian
