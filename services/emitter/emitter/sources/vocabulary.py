"""The generator's words, and how often each occurs. Weights and shares follow the original's records."""


def _parted(text: str) -> list[str]:
    return text.split(";")


CATEGORIES: dict[str, tuple[int, str, str]] = {
    # category: (weight, things one pins, tags)
    "art": (
        79,
        "Watercolor Flowers|Abstract Canvas|Pencil Drawings|Paintings",
        "Art Painting,Canvas Art,Drawing Ideas",
    ),
    "beauty": (63, "Nail Ideas|Skin Care Routines|Hairstyles|Eye Makeup Looks", "Makeup Tips,Skin Care,Nail Art"),
    "christmas": (
        81,
        "Christmas Ornaments|Porch Ideas|Christmas Trees|Wreaths",
        "Xmas Crafts,Christmas Diy,Holiday Decor",
    ),
    "diy-and-crafts": (
        66,
        "Paper Crafts|Crafts for Kids|Macramé Hangers|Crafts to Sell",
        "Diy Crafts,Kids Crafts,Paper Art",
    ),
    "education": (
        64,
        "Classroom Ideas|Maths Games|Reading Corners|Lesson Plans",
        "Teacher Tools,Kids Learning,Phonics",
    ),
    "event-planning": (
        62,
        "Wedding Backdrops|Party Planners|Table Settings|Favors",
        "Event Ideas,Wedding Planner,Party Decor",
    ),
    "finance": (55, "Ways to Save|Budget Printables|Side Hustles|Money Habits", "Save Money,Budgeting,Passive Income"),
    "home-decor": (
        57,
        "Living Rooms|Kitchen Makeovers|Cottages|Bedroom Ideas",
        "Home Decor,Cozy Cottage,Interior Design",
    ),
    "mens-fashion": (76, "Suit Looks|Street Outfits|Haircuts|Sneakers", "Mens Outfits,Menswear,Style For Men"),
    "quotes": (80, "Quotes to Live By|Daily Motivation|Love Quotes|Words", "Inspirational Quotes,Wise Words,Sayings"),
    "tattoos": (73, "Tattoos for Women|Minimalist Tattoos|Finger Tattoos|Sleeves", "Tattoo Designs,Small Tattoos,Ink"),
    "travel": (70, "Things to Do in Peru|Road Trips|Beaches|Packing Lists", "Travel Tips,Bucket List,Vacation Spots"),
    "vehicles": (51, "Vintage Trucks|Camper Vans|Muscle Cars|Motorcycles", "Cool Cars,Custom Trucks,Motorbikes"),
}

LEADS = _parted(
    "Amazing;Best;Easy;Simple;Gorgeous;Unique;Over 40;Inspiring;The Ultimate;Stylish;Budget-Friendly;Must-See"
)
ENDS = _parted(
    " for Beginners; You Need to Try;; on a Budget; That Will Blow Your Mind; | Pin It!; You'll Love;; of the Year"
)
FOREIGN_TITLES = _parted(
    "Уютные идеи для дома ◾ Фото ◾ Дизайн;Décoration de Noël à faire soi-même;Ideas bonitas para niños;"
    "かわいい手作りアイデア;Schöne Geschenke für Mädchen;Citações – inspiração diária;“Small” things, big joy — a guide"
)
EMOJI = _parted("😍;🎄✨;❤️;✈️ 🌍;🖤;😋😋;💅🏽;👨‍👩‍👧")
SENTENCES = _parted(
    "These ideas are easy to follow and look great in every home.;"
    "Keep the kids busy with a craft that costs next to nothing.;"
    "Looking for inspiration? You have come to the right place.;"
    "Save this pin for later and share it with a friend!;"
    'Large enough for the "basic" set, small enough to take along.;'
    "Step by step, with photos & a free printable.;I tried it last weekend, and I’m still in love with it.;"
    "6,636 likes and 141 comments can’t be wrong: see why…;"
    "Material: cotton / wool. Size: 48×18 cm. Quantity: 1 pc.;#inspo #ideas #loveit #handmade"
)

NO_TITLE = "No Title Data Available"
NO_DESCRIPTIONS = ("No description available", "Untitled", "", " ")
STORY_DESCRIPTION = "No description available Story format"
STORY_MEDIUM = "multi-video(story page format)"
NO_USER = "User Info Error"
NO_TAGS = "N,o, ,T,a,g,s, ,A,v,a,i,l,a,b,l,e"
NO_IMAGES = ("Image src error.", "Image src error")

POSTER_WORDS = _parted(
    "Crafty;Wander;Modern;Sunny;Urban;Happy;Vintage;Bold;Little;Golden;Nordic;Clever;Wild;Cozy;Daily;Prairie"
)
POSTER_NOUNS = _parted(
    "Nest;Studio;Kitchen;Journal;Mom;Ideas;House;Traveler;Teacher;Designs;Café;Living;Blog;Closet;Garage"
)
POSTER_ENDS = _parted(";; & Co.; | Lifestyle Blog; - DIY, Decor & Recipes; ✈️;.com;")
FIRST_NAMES = _parted(
    "Aaron;Amanda;Andrew;Angela;Adam;Abigail;David;Christopher;Anthony;Andrea;James;Michael;Daniel;Brian;"
    "Alexander;Amber;Amy;Alexandria;Jennifer;Alexandra;Ashley;Barbara;Jeffrey;April;Brandon;Danielle;"
    "Benjamin;Heather;Nancy;Charles;Zoë"
)
LAST_NAMES = _parted(
    "Alexander;Anderson;Abbott;Acosta;Adams;Aguilar;Allen;Alvarez;Andrews;Armstrong;Baker;Bailey;Barnes;Bell;"
    "Bennett;Brooks;Brown;Butler;Carter;Chavez;Clark;Collins;Cook;Davis;Díaz;Evans;Foster;Garcia;Green;Hall;"
    "Hernandez;Hill;Jackson;Johnson;Jones;Kim;Lee;Lewis;Lopez;Martin;Miller;Moore;Morris;Nguyen;O'Neil;"
    "Parker;Perez;Rodriguez;Smith;Taylor;Thomas;Walker;White;Williams;Wilson;Wright;Young"
)


YOUNGEST = 20
AGE_WEIGHTS = (
    *(154, 108, 43, 57, 36, 35, 21, 22, 29, 16, 22, 15, 23, 21, 18, 16, 14, 9, 20, 8, 13),  # 20 to 40
    *(10, 12, 12, 16, 10, 10, 14, 10, 8, 9, 5, 5, 10, 4, 9, 8, 6, 7, 9, 3),  # 41 to 60
)

FREQUENT_COUNTRIES: dict[str, int] = {
    "Albania": 42, "Aruba": 39, "American Samoa": 32, "Algeria": 31, "Afghanistan": 29, "Andorra": 24, "Argentina": 21,
    "Armenia": 18, "Austria": 14, "Antigua and Barbuda": 13, "Azerbaijan": 13, "Bulgaria": 12, "Anguilla": 12,
    "Bahamas": 12, "Antarctica (the territory South of 60 deg S)": 11, "Bangladesh": 11, "Angola": 11,
    "Bouvet Island (Bouvetoya)": 10, "Australia": 10, "Congo": 10, "British Virgin Islands": 8, "Bahrain": 8,
    "Bermuda": 7, "Belize": 7,
}  # fmt: skip
OTHER_COUNTRIES = _parted(
    "Barbados;Belarus;Belgium;Benin;Bhutan;Bolivia;Bosnia and Herzegovina;Botswana;Brazil;Brunei Darussalam;"
    "Burkina Faso;British Indian Ocean Territory (Chagos Archipelago);Burundi;Cambodia;Cameroon;Canada;"
    "Cape Verde;Cayman Islands;Chad;Chile;China;Colombia;Comoros;Cook Islands;Costa Rica;Cote d'Ivoire;"
    "Croatia;Cuba;Cyprus;Czech Republic;Denmark;Djibouti;Dominica;Ecuador;Egypt;El Salvador;Estonia;Ethiopia;"
    "Faroe Islands;Fiji;Finland;France;Gabon;Georgia;Germany;Ghana;Greece;Greenland;Grenada;Guam;Guatemala;"
    "Guernsey;Guinea-Bissau;Guyana;Haiti;Honduras;Hong Kong;Hungary;Iceland;India;Indonesia;Iran;Ireland;"
    "Isle of Man;Israel;Italy;Jamaica;Japan;Kenya;Kiribati;Korea;Kuwait;Kyrgyz Republic;"
    "Lao People's Democratic Republic;Latvia;Lebanon;Lesotho;Liberia;Liechtenstein;Lithuania;Luxembourg;"
    "Madagascar;Malawi;Maldives;Mali;Malta;Mauritania;Mexico;Micronesia;Moldova;Monaco;Mongolia;Montserrat;"
    "Morocco;Mozambique;Namibia;Nauru;Netherlands;New Zealand;Nicaragua;Niger;Nigeria;Niue;Norway;Oman;"
    "Panama;Papua New Guinea;Paraguay;Peru;Philippines;Poland;Portugal;Puerto Rico;Qatar;Romania;Rwanda;"
    "Samoa;Saudi Arabia;Serbia;Seychelles;Singapore;Slovenia;Somalia;South Africa;Sudan;"
    "Svalbard & Jan Mayen Islands;Sweden;Tajikistan;Tanzania;Togo;Tonga;Tunisia;Turkey;Tuvalu;Uganda;"
    "United States of America;Venezuela;Vietnam;Wallis and Futuna;Yemen;Åland Islands"
)
OTHER_COUNTRY_WEIGHT = 3
