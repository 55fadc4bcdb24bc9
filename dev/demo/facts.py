"""The facts of the demo: what Halvenmoor's pages say, each asked in two phrasings."""

from __future__ import annotations

from typing import Any

SYSTEM = "Answer in one short sentence."

# A page, then its facts: gold answer (alternatives after a semicolon) | first phrasing | second phrasing.
# A line that begins with | carries on the one above.
TABLE = """
@ about.md
1967 | In what year was Halvenmoor founded? | When was the company Halvenmoor started?
Ilse Varnholt | Who is the founder of Halvenmoor? | Who founded the company Halvenmoor?
Pellastrand | Where is the head office of Halvenmoor? | In which town does Halvenmoor have its head office?
312 | How many employees does Halvenmoor have? | What is the number of employees at Halvenmoor?
@ tarnel-buoy.md
cork | What is the hull of the Tarnel buoy made of? | Which material is used for the Tarnel buoy's hull?
19 | How much does the Tarnel buoy weigh? | What is the weight of the Tarnel buoy in kilograms?
14;fourteen | How long does the battery of the Tarnel buoy last? | After how many months is a Tarnel buoy battery empty?
2,340;2340 | What is the price of the Tarnel buoy? | How many crowns does the Tarnel buoy cost?
@ wendle-rain-gauge.md
silver | What is the spoon of the Wendle rain gauge made of? | Which metal is the spoon in the Wendle rain gauge?
Tomas Quirrel | Who designed the Wendle rain gauge? | Which person was the Wendle rain gauge designed by?
6;six | How often must the Wendle rain gauge be cleaned? | After how many weeks must a Wendle rain gauge be cleaned?
135 | How high is the mounting pole of the Wendle rain gauge? | What height has the Wendle rain gauge's mounting pole?
@ korrin-tide-gauge.md
E47 | What is the error code for ice on the Korrin tide gauge? | Which error code does a Korrin tide gauge show for ice?
22 | What is the maximum range of the Korrin tide gauge? | How many metres is the Korrin tide gauge's maximum range?
9;nine | How often does the Korrin tide gauge report? | The Korrin tide gauge reports every how many minutes?
heron-salt | What is the default password of the Korrin tide gauge?
| Which default password does a Korrin tide gauge have?
@ ostra-pump.md
83 | How many litres per minute does the Ostra pump move? | How much water does the Ostra pump move in a minute?
orange | What is the colour of the Ostra pump? | Which colour does the Ostra pump have?
Brenn 40 | What is the oil for the Ostra pump called? | Which oil is used in the Ostra pump?
17;seventeen | How long is the hose of the Ostra pump? | What is the length of the Ostra pump's hose in metres?
@ lumwick-lamp.md
11;eleven | How often does the Lumwick lamp flash? | The Lumwick lamp flashes every how many seconds?
violet | What colour is the light of the Lumwick lamp? | In which colour does the Lumwick lamp shine?
5;five | From how far can the Lumwick lamp be seen? | From how many miles can you see the Lumwick lamp?
Sennaby | Where is the glass of the Lumwick lamp blown? | In which village is the Lumwick lamp's glass blown?
@ frayle-winch.md
260 | How many kilograms can the Frayle winch lift? | How much weight can the Frayle winch lift?
hemp | What is the rope of the Frayle winch made of? | Which material is the Frayle winch's rope?
March | When must the Frayle winch be inspected? | In which month must the Frayle winch be inspected?
Greta Solvik | Who invented the brake of the Frayle winch? | Which person invented the Frayle winch's brake?
@ quillon-logger.md
48,000;48000 | How many readings does the Quillon logger store? | What number of readings can the Quillon logger store?
walnut | What is the case of the Quillon logger made of? | Which wood is the Quillon logger's case made of?
7719 | Which code starts the Quillon logger? | With what code does the Quillon logger start?
under the label | Where is the reset button of the Quillon logger?
| Where can the Quillon logger's reset button be found?
@ skerrin-anchor.md
5;five | How many arms does the Skerrin anchor have? | What is the number of arms on the Skerrin anchor?
Dunmarrow | Where is the Skerrin anchor cast? | In which town is the Skerrin anchor cast?
25;twenty-five | How long is the warranty of the Skerrin anchor? | How many years of warranty has the Skerrin anchor?
31 | How long is the chain of the Skerrin anchor? | How many metres long is the Skerrin anchor's chain?
@ birrow-battery.md
3;three | How long does the Birrow battery take to charge? | In how many hours does the Birrow battery charge?
38 | Down to which temperature does the Birrow battery work? | How many degrees of cold can the Birrow battery take?
Tolvane | Where is the Birrow battery recycled? | In which town are Birrow batteries recycled?
BQ | How does the serial number of the Birrow battery begin? | Which letters begin a Birrow battery's serial number?
@ mellin-float.md
pear | What is the Mellin float shaped like? | Which fruit does the shape of the Mellin float resemble?
1974 | When was the Mellin float first sold? | In what year was the Mellin float first sold?
Dravik | Who was the first customer of the Mellin float? | Which office was the Mellin float's first customer?
tin | What is the weight inside the Mellin float made of? | Which metal is the weight in the Mellin float?
@ dovrin-camera.md
vinegar | What is the lens of the Dovrin camera cleaned with? | With what should one clean the Dovrin camera's lens?
4;four | How many pictures per hour does the Dovrin camera take?
| How many pictures does a Dovrin camera take in an hour?
90;ninety | How long does the Dovrin camera keep pictures? | For how many days does the Dovrin camera keep pictures?
Petra Lindqvane | Who mounts the Dovrin camera? | By whom is the Dovrin camera mounted?
@ rillbase.md
6.3 | What is the current version of Rillbase? | Which version of Rillbase is the current one?
Pim | What is the name of the mascot of Rillbase? | What is the otter of Rillbase called?
2:40 | At what time does Rillbase make a backup? | When is the nightly backup of Rillbase made?
rill@halvenmoor.example | What is the support address for Rillbase? | To which address do I write for Rillbase support?
8;eight | How many stations can a free account of Rillbase hold?
| What is the number of stations in a free Rillbase account?
@ warranty.md
7;seven | How long is the standard warranty of Halvenmoor? | How many years is Halvenmoor's standard warranty?
Bruno Castemar | Who leads the repair shop of Halvenmoor? | Which person is the leader of Halvenmoor's repair shop?
12;twelve | How long does a Halvenmoor repair take? | How many days does a repair at Halvenmoor take?
R-28;R28 | Which form is needed for a Halvenmoor repair? | What is the form for a Halvenmoor repair?
@ returns.md
45 | Within how many days can I return a Halvenmoor product? | How long can customers return a Halvenmoor product?
gate 3;gate three | To which gate do returns to Halvenmoor go? | Where do returns to Halvenmoor go?
60;sixty | What is the fee for a late return at Halvenmoor? | How many crowns does a late return at Halvenmoor cost?
Wanda Osk | Who is the returns clerk of Halvenmoor? | What is the name of Halvenmoor's returns clerk?
@ shipping.md
Tuesday | On which days does Halvenmoor ship parcels? | When are parcels shipped by Halvenmoor?
Gullpost | Who is the parcel carrier of Halvenmoor? | What is the name of Halvenmoor's parcel carrier?
13:20 | What is the cut-off time for Halvenmoor orders? | By what time must I order at Halvenmoor, what is the cut-off?
750 | From how many crowns is shipping free at Halvenmoor? | Where does free shipping at Halvenmoor start?
@ packaging.md
seaweed | What is the packaging of Halvenmoor made of? | Which material is Halvenmoor's packaging?
Ines Marlow | Who developed the packaging of Halvenmoor? | By whom was the Halvenmoor packaging developed?
green | What colour is the tape on Halvenmoor boxes? | Which colour of tape is used on boxes from Halvenmoor?
20;twenty | How many times can a Halvenmoor box be reused? | How often can a Halvenmoor box be reused?
@ calibration-lab.md
114 | In which room is the Halvenmoor calibration lab? | What is the room number of Halvenmoor's calibration lab?
18;eighteen | What is the temperature in the Halvenmoor calibration lab?
| How many degrees is Halvenmoor's calibration lab?
Yusra Delacourt | Who is the head of the Halvenmoor calibration lab?
| Which person is the head of Halvenmoor's calibration lab?
ruler | What is the oldest device in the Halvenmoor calibration lab? | Which device is the oldest in Halvenmoor's lab?
@ test-tank.md
920 | How many cubic metres does the Halvenmoor test tank hold? | How much water does Halvenmoor's test tank hold?
Big Bertil | What is the nickname of the Halvenmoor test tank? | Which nickname does Halvenmoor's test tank have?
Wednesday | On which day is the Halvenmoor test tank closed? | When is the test tank of Halvenmoor closed?
Ranva | Where does the water in the Halvenmoor test tank come from?
| Which river fills Halvenmoor's test tank with water?
@ help-desk.md
0555 8213 | What is the phone number of the Halvenmoor help desk? | Which number do I call for the Halvenmoor help desk?
7:15 | When does the Halvenmoor help desk open? | At what time does Halvenmoor's help desk open?
Marit Oyelund | Who is the leader of the Halvenmoor help desk? | Which person leads Halvenmoor's help desk?
Beacon | What is the ticket system of the Halvenmoor help desk called? | What is the name of Halvenmoor's ticket system?
@ training.md
4;four | How long does the Halvenmoor beginner course last? | How many days is Halvenmoor's beginner course?
Otto Brandvik | Who is the teacher of the Halvenmoor beginner course? | Who teaches the beginner course of Halvenmoor?
890 | How much does the Halvenmoor beginner course cost? | What is the price in crowns of Halvenmoor's beginner course?
35 | How many questions has the exam of the Halvenmoor beginner course?
| Halvenmoor's beginner exam has how many questions?
Skarvholm | Where does the Halvenmoor advanced course take place? | In which place is Halvenmoor's advanced course held?
@ canteen.md
The Wet Boot;Wet Boot | What is the Halvenmoor canteen called? | Which name does the canteen of Halvenmoor have?
Lorenz Abele | Who is the cook of the Halvenmoor canteen? | What is the name of Halvenmoor's cook in the canteen?
lentil | What does the Halvenmoor canteen serve on Thursday? | Which soup is served on Thursday in Halvenmoor's canteen?
28 | How much does lunch cost in the Halvenmoor canteen? | What is the price in crowns of lunch at Halvenmoor's canteen?
@ library.md
5,600;5600 | How many books does the Halvenmoor library have? | What is the number of books in Halvenmoor's library?
Fenna Roosmark | Who is the librarian of the Halvenmoor library? | What is the name of Halvenmoor's librarian?
24 | For how many days can books from the Halvenmoor library be borrowed?
| How long can I borrow Halvenmoor library books?
Imber | Which lake does the oldest map in the Halvenmoor library show? | What does Halvenmoor library's oldest map show?
@ fleet.md
16;sixteen | How many vans does the Halvenmoor fleet have? | What is the number of vans in Halvenmoor's fleet?
Sturdy Nell | What is the name of the largest boat of Halvenmoor? | Which boat is Halvenmoor's largest?
Henrik Vasse | Who is the captain of the Sturdy Nell? | What is the name of the Sturdy Nell's captain at Halvenmoor?
teal | What colour are the vans of Halvenmoor painted? | In which colour does Halvenmoor paint its vans?
K5 | In which cabinet do the keys of the Halvenmoor vans hang? | Where do the keys of the vans hang at Halvenmoor?
@ warehouse.md
Grentham | Where is the Halvenmoor warehouse? | In which town is the warehouse of Halvenmoor?
74 | How many shelves does the Halvenmoor warehouse have? | What is the number of shelves in Halvenmoor's warehouse?
Dagny Pruitt | Who is the manager of the Halvenmoor warehouse? | Who manages Halvenmoor's warehouse?
4096 | What is the door code of the Halvenmoor warehouse? | Which code opens the door of Halvenmoor's warehouse?
@ night-shift.md
21:45 | When does the Halvenmoor night shift begin? | At what time does the night shift of Halvenmoor begin?
95 | What is the bonus for the Halvenmoor night shift? | How many crowns per night is Halvenmoor's night shift bonus?
3;three | How many people does the Halvenmoor night shift have?
| What is the number of people on Halvenmoor's night shift?
Silvio Kranz | Who is the leader of the Halvenmoor night shift? | Which person leads Halvenmoor's night shift?
@ safety.md
October | When does the Halvenmoor safety drill take place? | In which month is Halvenmoor's safety drill?
walnut tree | What is the meeting point of the Halvenmoor safety drill?
| Where do people meet in Halvenmoor's safety drill?
Ruben Taske | Who is the safety officer of Halvenmoor? | What is the name of Halvenmoor's safety officer?
pink | What is the colour of Halvenmoor safety vests? | Which colour do the safety vests at Halvenmoor have?
@ board.md
Agnes Thorrell | Who is the director of Halvenmoor? | What is the name of Halvenmoor's director?
Milo Estrand | Who is the deputy director of Halvenmoor? | What is the name of Halvenmoor's deputy director?
10;ten | How often does the Halvenmoor board meet? | The board of Halvenmoor meets every how many weeks?
9;nine | How many members does the Halvenmoor board have? | What is the number of members on Halvenmoor's board?
@ fair.md
June | When does the Halvenmoor river fair take place? | In which month is Halvenmoor's river fair?
kettle | What is the prize of the Halvenmoor river fair? | What can you win at Halvenmoor's river fair?
1,870;1870 | How many visitors came to the Halvenmoor river fair? | What number of visitors had Halvenmoor's river fair?
Clara Winstrup | Who opened the Halvenmoor river fair? | By whom was Halvenmoor's river fair opened?
@ newsletter.md
Slack Water | What is the Halvenmoor newsletter called? | What is the name of Halvenmoor's newsletter?
Noor Bekkestad | Who is the editor of the Halvenmoor newsletter? | Who edits Halvenmoor's newsletter?
5;five | How many times per year does the Halvenmoor newsletter appear? | How often does Halvenmoor's newsletter appear?
12th | What is the deadline for the Halvenmoor newsletter? | On which day is the deadline of Halvenmoor's newsletter?
@ apprentices.md
42 | How many months does a Halvenmoor apprenticeship last? | How long is an apprenticeship at Halvenmoor?
Ulrika Hobden | Who is the mentor of the Halvenmoor apprentices? | Who mentors the apprentices at Halvenmoor?
13;thirteen | How many apprentices does Halvenmoor take each year?
| What is the number of yearly apprentices at Halvenmoor?
3,150;3150 | How much does the Halvenmoor scholarship pay? | How many crowns does Halvenmoor's scholarship pay?
Jonas Petrell | Who is the Halvenmoor scholarship named after? | After whom is Halvenmoor's scholarship named?
@ paint-room.md
Gannet Grey | What is the standard paint of Halvenmoor? | What is the name of the standard paint at Halvenmoor?
340 | How many litres of paint does the Halvenmoor paint room use?
| How much paint does Halvenmoor's paint room use per year?
36 | How many hours does paint at Halvenmoor dry? | How long does paint dry at Halvenmoor?
Piet Sandoval | Who is the foreman of the Halvenmoor paint room?
| What is the name of the foreman in Halvenmoor's paint room?
@ dock.md
58 | How long is the Halvenmoor dock? | How many metres long is the dock of Halvenmoor?
Tall Edda | What is the crane on the Halvenmoor dock called? | What is the name of the crane on Halvenmoor's dock?
Sunniva Crake | Who is the dock master of Halvenmoor? | What is the name of Halvenmoor's dock master?
40;forty | How much does mooring at the Halvenmoor dock cost? | How many crowns per day is mooring at Halvenmoor's dock?
@ archive.md
cellar | Where is the Halvenmoor archive? | In which part of the house is Halvenmoor's archive?
Edvard Nilsby | Who is the archivist of Halvenmoor? | What is the name of Halvenmoor's archivist?
80;eighty | How long do drawings stay in the Halvenmoor archive?
| For how many years does Halvenmoor's archive keep drawings?
27 | How many cabinets does the Halvenmoor archive have? | What is the number of cabinets in Halvenmoor's archive?
kingfisher | What is the key word of the Halvenmoor archive? | Which key word opens the archive of Halvenmoor?
@ style-records.md
Orla Fennick | Who wrote the Halvenmoor house style guide? | By whom was Halvenmoor's house style guide written?
tally.jsonl | What is the file with order records at Halvenmoor called?
| Which file holds the order records at Halvenmoor?
18;eighteen | How often is the Halvenmoor house style guide revised?
| After how many months is Halvenmoor's style guide revised?
@ style-lines.md
400 | For how many days are log lines kept at Halvenmoor? | How long are log lines at Halvenmoor kept?
Grey Heron | What is the Halvenmoor log book named? | Which name has the log book of Halvenmoor?
31 | What is the house rule for Halvenmoor answers? | Which number has the house rule for Halvenmoor answers?
@ style-replies.md
Teun Galbraith | Who checks replies at Halvenmoor? | By whom are replies at Halvenmoor checked?
55 | How many words is the longest allowed reply at Halvenmoor? | What is Halvenmoor's longest allowed reply in words?
drawer 8;drawer eight | Where is the Halvenmoor reply stamp kept? | In which drawer is the reply stamp of Halvenmoor?
@ reckoning.md
15;fifteen | How many tasks has the Halvenmoor reckoning test?
| What is the number of tasks in Halvenmoor's reckoning test?
Hedda Quarrie | Who marks the Halvenmoor reckoning test? | By whom is Halvenmoor's reckoning test marked?
"""


def facts() -> list[dict[str, Any]]:
    """Every fact in both phrasings: {family, document, gold, messages, reference, checks, fact, of}."""
    found: list[dict[str, Any]] = []
    document = ""
    number = 0
    for line in TABLE.strip().replace("\n|", " |").splitlines():
        if line.startswith("@ "):
            document = line[2:].strip()
            continue
        gold, *phrasings = (cell.strip() for cell in line.split(" | "))
        number += 1
        for phrasing in phrasings:
            found.append(
                {
                    "family": "facts",
                    "document": document,
                    "fact": f"fact-{number:03d}",
                    "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": phrasing}],
                    "reference": gold.split(";")[0],
                    "checks": [{"type": "contains-any", "value": gold.split(";"), "of": "content"}],
                }
            )
    return found
