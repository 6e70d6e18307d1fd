"""What a refusal proposes works when it is typed: every command and every value in it is run.

A line marks in « » what is wrong with it. A value that the message proposes takes the place of the mark, an option
follows the line, a command is run as it stands. None of them may be refused as the line was.
"""

import os
import re
import shlex
import shutil

import pytest

from optilab.errors import UsageError
from optilab.optimize import OBJECTIVES, RULES, descend
from tests.run import run

WORD = r"(?:'[^']*'|\"[^\"]*\"|[^\s`'\";,)]+)"
PLACES = {
    "CONFIG": "small.yaml",
    "VALUE": "0.1",
    "N": "2",
    "FILE": "out.csv",
    "DIR": "new",
    "KEY": "epochs",
    "X": "0.5",
}
"""What the capitals of a proposal stand for."""
STUDY = "sweep small.yaml --over optimizer.lr=0.1,0.2 --dry-run"

REFUSED = """
«adam» --epochs 3
«adam,sgd» --epochs 3
«ravine»
«small.yaml» --epochs 1
«compare» run
«trian» small.yaml
«--runs-dir new runs ls»
«--json» runs ls
runs «--json» ls
runs «list»
runs «lss»
help «env»
help «exit»
help «momentm»
«--versoin»
help claims «verdicts»
explain «adma»
optimize «adam sgd» --epochs 2
optimize «ravine»
optimize adam --epochs «1e2»
optimize adam --epochs «3.0»
optimize adam «--epoch» 3
optimize adam «--steps 3»
optimize momentum «--beta 0.5»
optimize Adam --epochs 3 «--beta1 0.8»
train small.yaml --epochs 1 --optimizer adam «--beta1 0.8»
optimize adam «--over algo.lr=1:2»
optimize adam --lr «0,5»
optimize adam --lr «50%»
optimize adam --start «5»
optimize adam «--start -5 -2»
optimize adam --start «1,2,3»
optimize adam --function «ravin»
optimize adam --expect '«f»'
optimize adam --expect '«f 0.1»'
optimize adam --expect '«f => 1»'
optimize adam --expect '«loss» < 1'
optimize adam --epochs 3 --expect '«f < small»'
optimize adam --epochs 5 --expect 'f «at 9» < 1'
optimize adam --set «lr»=0.1
optimize adam --epochs «ten»
optimize adam «--seed x»
optimize adam «--expect '0.3 < f'»
optimize adam «--expect 'f < 1 at 5'»
optimize adam --expect '«f <»'
optimize adam «--expect 'f < 1 and w1 < 2'»
optimize adam --expect '«status > converged»'
optimize adam --set «algo.beta»=0.1
optimize adam --out «plot.txt»
optimize «relu.yaml»
explain adam «--epochs 3»
verify my.py --against my.py:«Adma»
explain adam --step «5-1»
explain adam «--stpe» 1
map adam «--x lr=0.1:1»
map momentum «--x 'lr=2:0.01'» --y beta=0:0.9
map adam --x lr=0.1:1 --y «beta»=0:0.9
map momentum «--x lr=a:1» --y beta=0:0.9
map momentum «--x lr=0.01..1» --y beta=0:0.9
map momentum --x lr=0.1:1 «--y beta»
map momentum --x lr=0.1:1 «--y beta:0:0.9»
map momentum «--x 'lr=[0.01, 1]'» --y beta=0:0.9
map momentum «--x lr=0.01:1:log:20» --y beta=0:0.9
map momentum «--x lr=0.01:1:20:lin» --y beta=0:0.9
play adam --start «'[1 2'»
train small.yaml --set model.hidden=«8x8»
train small.yaml --set 'model.hidden=[«8 8»]'
train small.yaml --lr «1e-3.»
train small.yaml --set «actvation»=relu
map momentum «--x lr=0.1:1:x» --y beta=0:0.9
map momentum «--x lr=0:1:log» --y beta=0:0.9
map l-bfgs --x w1=0:1 --y w2=0:1
optimize adam --epochs 3 --function '«sn»(x)'
optimize «zzz» --epochs 3
optimize adam --epochs 3 --function «zzz»
optimize «adam,,sgd» --epochs 3
optimize adam --epochs 3 --set «algo.lr»
optimize adam --epochs 3 --set '«algo.lr: 0.5»'
optimize adam --epochs 3 --set algo.beta1=«1,5»
optimize adam --epochs 3 --set algo.beta1=«1»
optimize adam --epochs «1,000»
optimize adam --epochs «-3»
optimize adam --epochs 3 --tune «0»
optimize adam --epochs 3 --lr «inf»
verify my.py my.py --against sgd --memory «1GB»
lr small.yaml --steps «5»
train small.yaml --set data.images=«50%»
optimize adam --epochs 3 --function '«»'
optimize «my.py» --epochs 3
map adam --basins «--start 1,2»
map adam --x lr=0.1:1 --y 'beta1=0:«1.5»'
map «adam,sgd» --basins --function himmelblau --epochs 5
map adam --basins --function «x^2+w3^2»
verify adam --against sgd
verify my.py --algo adam
verify my.py sgd
verify my.py --against «sgd,adam»
race --algo «sgd,sgd» --function ravine --budget 1 --starts 1 --repeats 1
race --algo sgd,adam --function ravine --budget 1 --repeats 1 «--start 1,2»
race --algo sgd,adam --function ravine --budget 1 --starts 1 --repeats 1 --expect '«adam is best»'
optimize adam --epochs 3 --function 'x^2 + «ln»(4)'
optimize adam --epochs 3 --name «''»
train small.yaml --set «model=relu»
config show «map»
config schema «lr»
data fetch «syntetic»
play adam --out «page.pdf»
play «lookahead»
race «small.yaml» --algo sgd,adam --budget 1 --seeds 2 --dry-run --set data.holdout=50
race --algo sgd,adam --function ravine --budget 1 --starts 1 --repeats 1 «--lr 0.1»
race --algo sgd,«adma» --function ravine --budget 1 --starts 1 --repeats 1
race --on small.yaml --algo sgd,adam --budget 1 --seeds 2 --dry-run --set data.holdout=50 «--learning-rate 0.1»
race --function «'x^2'» --algo sgd,adam
race --function «ravine,» --algo sgd,adam --budget 1 --starts 1 --repeats 1
race --on small.yaml --algo sgd,adam --budget 1 --seeds 2 --dry-run --set data.holdout=50 «--set optimizer.lr=1»
train
train «sigmoyd.yaml»
train small.yaml --set «epochs»
train small.yaml --set «lr»=0.1
train small.yaml --set optimizer=«adma»
train small.yaml «--nesterov»
optimize adam --epochs 3 «--clip 1»
train small.yaml --set model.hidden=«3»
train small.yaml --set 'model.hidden=«3,4»'
train small.yaml --set model.activation=«Relu»
train small.yaml --set model.norm=«no»
train small.yaml --set 'name=«no»'
train small.yaml --set 'early_stopping=«yes»'
train small.yaml --set «model.widths»=[8]
train small.yaml --name «'a b'»
train small.yaml --jobs 2
train small.yaml --seeds «1,2»
train small.yaml «--hidden 8,8»
train small.yaml --expect '«val acc» > 0.1'
train small.yaml --set data.images=«99999999»
train small.yaml --seeds 2 «--threads 4»
train small.yaml --expect '«val_acc is high»'
train small.yaml --expect '«val_acc»'
train small.yaml --expect '«val_acc high 0.5»'
train small.yaml --expect '«status»'
train small.yaml --expect '«accuracy» > 0.5'
train small.yaml --expect 'val_acc > «50»'
train small.yaml --expect 'test_acc > 0'
train small.yaml --set data.images=100 --expect 'test_acc > 0'
train small.yaml --expect 'val_acc «at 9» > 0'
train small.yaml --seeds 2 --jobs 1 --expect 'val_acc > 0 confidence «95»'
train small.yaml --expect '«val_acc > 0 +- 0.1»'
train small.yaml --expect 'status == «finished»'
train --resume «runn»
train --resume path
train --resume run «--set model.hidden=[8]»
train --fork run «--set model.hidden=[8]»
train small.yaml --set data.drop_last=true --set data.batch_size=9999
train small.yaml --set model.norm=batch --set data.batch_size=1
train «run»
train small.yaml «--at 2»
diagnose «runn»
diagnose run --set epochs=3
diagnose path
lr small.yaml «--lr 0.1»
lr small.yaml --seeds 2 --epochs 1
lr path
train small.yaml --set model.activation=«swish»
remedy small.yaml --only tanh --dry-run «--over optimizer.lr=0.1:1»
remedy small.yaml «--only relu» --pairs --dry-run
sweep small.yaml --dry-run
sweep small.yaml --over «lr»=0.1,0.2 --dry-run
sweep small.yaml --over «optimizer.lr» --dry-run
sweep small.yaml «--over seed=1,2» --dry-run
sweep small.yaml --over optimizer.lr=0.1,0.2 --dry-run «--samples 3»
sweep small.yaml --over optimizer.lr=0.1:1 --dry-run --search tpe
sweep small.yaml --over optimizer.lr=0.1,0.2 «--zip» --dry-run
sweep small.yaml --over optimizer.lr=0.1,0.2,0.3 «--halving 3» --epochs 2 --dry-run
sweep small.yaml --over optimizer.lr=0.1,0.2 --dry-run «--halving 3»
sweep small.yaml «--over model.hidden=16,[32]» --dry-run
sweep small.yaml «--over model.activation=relu:tanh» --dry-run
sweep small.yaml «--over 'optimizer.lr=[0.1,0.2'» --dry-run
sweep small.yaml «--over optimizer.lr=0.1..1» --dry-run
sweep small.yaml --over «optimizer.lr:0.1:1» --dry-run
explain adam --step «1:3»
train small.yaml --set 'data=«synthetic»'
check run «--expect 'val_acc > 0 at epoch 1'»
check run --expect '«acc» > 0'
runs compare «run,run»
sweep small.yaml «--over optimizer=sgd,adam --over optimizer.beta1=0.9,0.8» --dry-run
sweep --study «small.yaml» --dry-run
sweep --resume «run»
remedy small.yaml --only «tahn» --dry-run
check small.yaml --expect '«val_ac» > 0'
check run --expect '«val_acc >> 0»'
check run --expect '«val_acc at epoch 1 > 0»'
check run --expect 'test_acc > 0'
runs show «runn»
runs show '../*'
runs show 'r*'
runs rm '../*' --yes
runs ls --where '«lrr»=3'
runs ls --where «lr»
runs ls --sort «val_accc»
runs ls --format «xml»
runs ls --where «'val_acc>50%'»
runs show «small.yaml»
runs show «runs/run/config.yaml»
runs show «run@1»
runs «report» run
runs rm path --older-than «1month» --yes
runs export run --out «all.txt»
runs export run
runs compare run --until epochs
runs compare run path
runs compare run --at «99»
runs compare run --target 0.5 «--metric seconds»
runs compare run --baseline «relu»
runs ls --where «=3»
runs show «lates»
runs show «--name run»
train «runs/run» --epochs 1
train --fork «run:1» --epochs 2
train small.yaml «-n 2»
train small.yaml «--set model.hidden=[8, 8]»
sweep small.yaml «--over optimizer.lr=[0.1,0.2]» --dry-run
sweep small.yaml «--over optimizer.lr='(0.1 0.2)'» --dry-run
sweep small.yaml --over optimizer.lr=0.1,0.2 --seeds «[1,2]» --dry-run
optimize adam --epochs 3 --lr «1/10»
optimize «sgdm» --epochs 3
optimize adam --epochs 3 «-o» out.png
optimize adam --epochs 3 «--function x^2 + y^2»
explain «adam.yaml»
explain «small.yaml»
race «adam.yaml» --function booth --budget 1 --starts 1 --repeats 1
race «--optimizer sgd,adam» --function booth --budget 1 --starts 1 --repeats 1
map adam --x lr=0.1:1:3 «--x beta1=0:0.9:3»
train small.yaml --set data.dataset=synthetic --set data.dir=null --set data.holdout=«0.2»
help «train»
help «gradint»
help «runs ls»
optimize adam «algo.lr=0.1»
train small.yaml «lr=0.1 epochs=2»
train small.yaml «+optimizer=adam»
sweep small.yaml «optimizer.lr=0.1,0.2» --dry-run
optimize adam «--start 1 2»
optimize adam --epochs 3 «--x0 1,2»
optimize adam «--iters 3»
optimize adam --epochs 3 --function «'f(x,y)=x^2+y^2'»
optimize adam --epochs 3 --function «'lambda x: x**2'»
optimize adam --epochs 3 --function «x²+y²»
optimize adam --epochs 3 --function «my.py:f»
optimize «--algo adam --algo sgd» --epochs 3
race «--trials» 1 --algo sgd,adam --function booth --starts 1 --repeats 1
race --algo sgd,adam --function «booth,x^2+y^2»
race --algo sgd,adam --function booth --budget 1 --starts 1 --repeats 1 --expect '«adam beats sgd»'
run small.yaml
list
data install synthetic
config get train
version
data verify «--dataset synthetic»
runs ls --where «'val_acc>'»
runs ls --where «'optimizer.lr>fast'»
report run --out «page.txt»
sweep small.yaml --dry-run «-m "optimizer.lr=choice(0.1,0.01)"»
runs ls «--state=done»
config cp adam.yaml other.yaml «--overwrite»
optimize adam «--init=-1,1»
explain adam «--steps 2»
help «trian»
config show relu.yaml «model.norm»
config show train «model.widths»
config show train «model.activatoin»
config show train «adma»
config show «trian»
config schema «trian»
config cp «relo» new.yaml
data verify «syntethic»
optimize «'adam sgd'» --epochs 2
runs ls --where «optimizer.lr==3»
sweep «small.yml» --over optimizer.lr=0.1,0.2 --dry-run
compare run --metrics val_loss
export run --format sqlite
export run --to-csv x.csv
export run --output y.csv
compare
log
runs log
runs log run
run small.yaml --hidden 8 --epochs 1
tune small.yaml --dry-run
«--verbose» train small.yaml
config check run
config check path
train small.yaml «--momentum 0.9»
train small.yaml --optimizer adam «--betas 0.9,0.99»
train small.yaml «--hidden=8,8»
train small.yaml «--hidden 8 8»
optimize adam «--set algo.lr = 0.1»
optimize adam «--start=-5 -2»
run small.yaml --momentum 0.9 --epochs 1
config edit relu.yaml
optimize adam --epochs 3 «--set 'betas=(0.9,0.99)'»
explain adam «2»
verify «adam --against my.py»
train small.yaml --epochs 1 «--set model.layers=3»
train small.yaml --epochs 1 «--set depth=2»
optimize adam --epochs 3 «--set algo.betas=0.8,0.9»
diagnose «--run run»
runs export run «--csv run.csv»
map adam «--x 0.01:1:3» --y beta1=0:0.9:3
config schema «relu.yaml»
train small.yaml --epochs 1 --set schedule=«CosineAnnealingLR»
runs rm path --older-than «'2 weeks'» --yes
runs ls «--where 'seed between 1 and 50'»
runs ls «--where 'seed > 1 and seed < 50'»
runs ls «--where 'state is done'»
runs ls «--order» seed
runs show «run/metrics.csv»
runs open run
train small.yaml --set 'model.hidden=«16x2»'
train small.yaml «--layers 2» --epochs 1
train small.yaml --optimizer «SGD(lr=0.1)» --epochs 1
train small.yaml «--early-stopping 5» --epochs 1
train small.yaml «--save-every 2» --epochs 1
train small.yaml «--precision float64» --epochs 1
sweep small.yaml «--over optimizer.lr=0.1 0.2» --dry-run
sweep small.yaml «--param» optimizer.lr=0.1,0.2 --dry-run
explain adam «--steps 1..3»
explain «path»
explain «verdicts»
explain adam --step 2 «--epochs 10»
runs «--sort seed»
runs show «runs/rnu»
map momentum --x lr=0.1:1:3 --y beta=0:0.9:3 «--lr 0.3»
play sgd «--function logistic-regression»
optimize sgd --epochs 2 --out film.html «--function logistic-regression»
optimize adam --start «w1=-5,w2=-2»
optimize momentum --set «algo.momentum»=0.9
map momentum --x lr=0.01:1:3 --y «momentum»=0:0.9:3
train small.yaml «--set momentum=0.9» --epochs 1
train small.yaml --optimizer «sgd,adam» --epochs 1
train small.yaml --optimizer «l-bfgs»
train small.yaml --optimizer «polyak»
train --fork run@1 «--epochs 1»
train small.yaml «--accuracy 0.9» --epochs 1
sweep small.yaml --over optimizer.lr=0.1,0.2 «--direction max» --dry-run
race adam,sgd «--metric f» --function booth --budget 2 --starts 2
config check «train» small.yaml
-V
""".strip().splitlines()


def words(line):
    return shlex.split(re.sub(r"\b(" + "|".join(PLACES) + r")\b", lambda place: PLACES[place[0]], line))


VALUE = r"(?:\[[^\]]*\]|'[^']*'|\"[^\"]*\"|(?:'[^'\n]*'|[^;,\n()]|,(?=\S))+)"
COMMAND = r"`optilab ([^`]+ [^`]+)`|[:,] optilab ([^\n;()]+)"
"""A whole line; `optilab train` alone is a name."""
BEFORE = (
    "write for example|write|for example|did you mean(?: the preset)?|one of|; it has|as in|commas:|such as|"
    "around it:"
)
INSTEAD = rf"(?:{BEFORE}) ({VALUE})|(?:use|add|with|:) (--{VALUE})"


def repaired(line, message):
    """For everything that a message proposes the lines that it may mean, one of which has to work."""
    marked, plain = re.search("«(.*)»", line), re.sub("[«»]", "", line)
    message = re.sub(r"^optilab: (--[\w. -]+: |No such option: \S+)?", "", message)
    lines = [[next(filter(None, found)).split(" (")[0]] for found in re.findall(COMMAND, message)]
    rest = re.sub(COMMAND, "", message)
    if "leave it out" in rest:
        lines.append([line.replace(marked[0], "")])
    for value in map("".join, re.findall(INSTEAD, rest)):
        for text in map(str.strip, value.split(" or ")):
            text = text.rstrip("?. ")
            text = text[1:-1] if text[:1] in ("'", '"') else text
            ways = [f"{plain} {text}"] if text.startswith("--") else []
            lines.append([*ways, *([line.replace(marked[0], text)] if marked else [])])
    return list(filter(None, lines))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, small):
    """A directory with a run of each kind, a study, and an optimizer of one's own."""
    place = tmp_path_factory.mktemp("proposals")
    (place / "small.yaml").write_text(small.read_text().replace("epochs: 3", "epochs: 1"))
    (place / "my.py").write_text("class Adam:\n    def update(self, w, g):\n        return w - 0.1 * g\n")
    for line in (
        "train small.yaml --name run",
        "optimize adam --epochs 3 --name path",
    ):
        typed(line, place)
    return place


def typed(line, place):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OPTILAB_")}
    return run(words(line), place, clean | {"OPTILAB_DATA": "no-images", "HOME": str(place)})


@pytest.mark.parametrize("line", REFUSED)
def test_what_a_refusal_proposes_is_accepted(line, folder):
    done = typed(re.sub("[«»]", "", line), folder)
    assert done.returncode in (2, 3, 4, 5), done
    lines = repaired(line, done.stderr or done.stdout)
    assert lines, f"nothing to type in: {done.stderr}"
    for ways in lines:
        again = [typed(way, folder) for way in ways]
        said = "".join(one.stderr or one.stdout for one in again)
        assert not {1, 2} >= {one.returncode for one in again}, f"{ways}: {said} (proposed by {done.stderr})"


@pytest.mark.parametrize(
    ("lost", "line", "message"),
    [
        ("metrics.csv", "runs show run", "metrics.csv is missing; `optilab train --resume run` writes it again"),
        (
            "diagnostics.jsonl",
            "diagnose run",
            "diagnostics.jsonl is missing, from which diagnose reads the layers",
        ),
        ("manifest.json", "runs show run", "restore it, or train again: optilab train --config"),
        (
            "metrics.csv",
            "runs show run --runs-dir linked",
            "`optilab train --resume run --runs-dir linked` writes it",
        ),
        (
            "",
            "runs compare gone run nope",
            "no run 'gone' in runs; it has path, run, and latest is the newest\nno run 'nope' in",
        ),
        (
            "",
            "runs diff HEAD~1 nope",
            "no run 'HEAD~1' in runs; it has path, run, and latest is the newest\nno run",
        ),
        ("", "runs ls --where optimizer=adma", "meets optimizer=adma; optimizer here is sgd"),
        ("", "runs ls --runs-dir nowhere", "--runs-dir: no runs in nowhere: there is no such directory\n"),
        ("", "runs ls --runs-dir run", 'there is no such directory; did you mean "runs"?'),
        ("", "runs show lates", "no run 'lates' in runs; did you mean \"latest\"?\n"),
        ("", "runs show x --runs-dir nowhere", "no run 'x' in nowhere: there is no such directory"),
        ("", "runs show x --runs-dir .", "`optilab runs ls --runs-dir .` lists them"),
    ],
)
def test_what_is_missing_is_called_missing(lost, line, message, folder, tmp_path):
    for name in ("path", "run"):
        shutil.copytree(folder / "runs" / name, tmp_path / "runs" / name)
    (tmp_path / "linked").symlink_to("runs")
    if lost:
        (tmp_path / "runs" / "run" / lost).unlink()
    done = typed(line, tmp_path)
    assert message in done.stderr + done.stdout
    assert "is damaged" not in done.stderr


def test_all_that_is_named_can_be_removed_before_anything_is(folder, tmp_path):
    shutil.copytree(folder / "runs", tmp_path / "runs")
    (tmp_path / "runs" / "run" / "manifest.json").unlink()
    assert "nothing was removed" in typed("runs rm path run --yes", tmp_path).stderr
    assert (tmp_path / "runs" / "path").is_dir()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "optimizer: sgd\nepochs 3\nseed: 1\n",
            "y.yaml:2:1: 'epochs 3' has no colon after its key; write epochs: 3",
        ),
        ("epochs 3\n", "got 'epochs 3'; write epochs: 3"),
        ("optimizer: sgd\n  epochs: 3\n", "'epochs: 3' is indented, and the line above it has a value already"),
        ('optimizer: sgd\nname: "adam\nseed: 1\n', "y.yaml:2:7: the quote is not closed: 'name: \"adam'"),
        ("- {name: a, train: relu, expect: [val_acc > 0]}\n", "a file of claims begins with a line `checks:`"),
        ("data: {batch_size: 8}\n", "optimizer: missing; add optimizer: sgd"),
        ("optimizer: sgd\nearly_stopping: 3\n", "expected a mapping (key: value), got 3, such as {patience: 3}"),
        ("optimizer: sgd\nseed: 1-5\n", "a range is written 1:5"),
        ("optimizer:sgd\nepochs: 1\n", "the line above, 'optimizer:sgd', has no colon and space after its key"),
        ("optimizer: @sgd\n", "'optimizer: @sgd': put quotes around the text: optimizer: \"@sgd\""),
        ("optimizer:\n  name: sgd\n lr: 0.1\n", "'lr: 0.1' is not aligned with the keys above it"),
        ("hello\n", "a config begins with a key, such as optimizer: sgd"),
        (
            "optimizer: sgd\nexpect: [val_acc at end > 0.5]\n",
            "'val_acc at end > 0.5': at: expected last, best, area",
        ),
        (
            "optimizer: sgd\nexpect: {val_acc: 0.5}\n",
            "expected a claim such as 'val_acc > 0.8', or {metric: val_acc",
        ),
        (
            "optimizer: sgd\ndata: {dataset: synthetic, images: 200, holdout: 300}\n",
            "y.yaml:2: data.holdout: a hold-out of 300 leaves no training images (only 200 are used)",
        ),
        (
            "optimizer.lr: 0.1\noptimizer.name: sgd\n",
            "y.yaml:1: optimizer.lr: dotted keys are for --set; write optimizer: {",
        ),
        (
            "algo: adam\nalgo.lr: 0.1\n",
            "y.yaml:2: algo.lr: dotted keys are for --set; write algo: {name: adam, lr: 0.1}",
        ),
        (
            'optimizer = "sgd"\n[model]\nhidden = [8]\n',
            "y.yaml:2: '[model]' is a section of TOML; write model: and",
        ),
        (
            'optimizer = "sgd\n[model\n',
            "y.yaml:1: 'optimizer = \"sgd' has no colon after its key; write optimizer: \"sgd",
        ),
        ("optimizer: sgd\nmodel: {hidden: [8], freeze: [1, 2]}\n", "leave one of 1 to 2 out"),
        (
            "checks:\n- {name: a, train: relu, optimize: adam}\n",
            "expected exactly one of optimize, train, sweep, remedy, race, lr; got optimize and train",
        ),
    ],
)
def test_a_file_is_told_what_to_write(text, message, optilab, tmp_path):
    (tmp_path / "y.yaml").write_text(text)
    assert message in optilab("config", "check", "y.yaml", code=2).stderr


def test_the_pattern_of_a_directory_of_submissions_is_that_of_its_files(optilab, tmp_path):
    (tmp_path / "subs" / "anna").mkdir(parents=True)
    (tmp_path / "subs" / "anna" / "adam.py").write_text("")
    assert "write 'subs/*/*.py'" in optilab("verify", "subs", "--against", "adam", code=2).stderr


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "check run --jobs 2 --expect 'val_acc > 0'",
            "--jobs: it is for a training config or a file of claims, and run",
        ),
        (
            "check run --out out.txt",
            "--out: expected a name that ends in .xml, got 'out.txt'; for example out.xml",
        ),
        ("check run --out no/out.xml", "there is no directory no; create it with: mkdir -p no"),
        (
            "config check runs/run/manifest.json",
            "is no config, but a file of a run; its config is runs/run/config.yaml",
        ),
        (
            "sweep small.yaml --over optimizer.lr=1,2 --name run --dry-run",
            "runs/run is a run of `optilab train`, not a",
        ),
        ("check run --expect 'accuracy > 50%'", "and 50% is no value of val_acc; write 'val_acc > 0.5'"),
        ("check run --expect 'accuracy > 50'", "unknown metric 'accuracy', and 50 is no value of val_acc"),
        ("check odd.yaml --expect 'val_acc > 0.5' --seeds 0", "got '0'; for example 1\nodd.yaml:1: unknown key"),
        (
            "report run --target 80% --by optimizer.learning_rate",
            "write 0.8\n--by optimizer.learning_rate: no such",
        ),
        ("verify my.py:AdamW --against adam_w", '"adamw"?\nmy.py has no AdamW; did you mean "Adam"?'),
        ("verify two.py --against sgdd", '"sgd"?\ntwo.py has A, B: choose one, as in two.py:A'),
        (
            "map adam,sgd --x lr=0.01:1:10 --y beta1=0:0.9:10",
            "got adam,sgd; write: optilab map adam --x lr=0.01:1:10 --y beta1=0:0.9:10; to compare",
        ),
        (
            "runs ls --where command=optimize --sort accuracy",
            "no listed run has 'accuracy'; one of run, command, state, created, finished, or a key of",
        ),
        ("map momentum --x lr=0.01,0.1,1 --y beta=0:0.9", "; write --x lr=0.01:1:3:log\n"),
        ("sweep --study lost.yaml", "lost.yaml:1: 'gone.yaml': no file and no preset has this name"),
        (
            "train small.yaml --set data.dataset=synthetic --data-dir x",
            "synthetic reads no directory; leave it out",
        ),
        ("optimize adam --start 1,2 --function x^2+w3^2", "--start: x^2+w3^2 has 3 coordinates, got 2 numbers"),
        ("optimize adam --function x^2+z^2", 'unknown name "z"; write w3; x is w1, and y is w2'),
        ("race --algo sgd,muon --function saddle", "\n--function: saddle has no known minimum"),
        ("play adam --out .", "--out: expected a name that ends in .html"),
        ("config show small.yaml", "small.yaml is a file, not a preset: cp copies it"),
        (
            "train small.yaml --set data.dataset=my.npz",
            "for images of yours write data.dataset=npz and data.dir=my.npz",
        ),
        ("train small.yaml --set model=net.py:CNN", 'did you mean "channels"? The dataset sets that one'),
        ("optimize adam --dark", "--dark needs --out; add --out FILE"),
        ("optimize adam --dark --size a4", "\n--size: expected one of column, page, slide, got 'a4'"),
        (
            "optimize adam --tune 0 --epochs -3 --set epoch=1",
            "\n--epochs: must be at least 1, got -3; for example 30\n--set",
        ),
        ("optimize adam --out a.gif --out b.mp4", "--out: a.gif and b.mp4: one .gif or .mp4 file can be written"),
        ("explain adam --format latex --json", "--json and --format cannot be combined"),
        (
            "verify --feedback x",
            "to files, as in: optilab verify 'submissions/*.py:Adam' --against adam --feedback x",
        ),
        ("verify --epochs 9", "to a file, as in: optilab verify my_adam.py:Adam --against adam --epochs 9"),
        ("verify my.py --against pytorch", "ours are compared with pytorch by: optilab verify"),
        ("verify small.yaml --against adam", "small.yaml is a config; expected FILE.py:NAME"),
        ("runs show run other", "too many arguments: other; optilab runs show takes RUN; leave out other"),
        ("check run --expect 'optimizer.lr=0.3: val_acc > 0'", "--expect 'lr 0.3: val_acc > 0'"),
        ("sweep small.yaml --over optimizer.lr 0.1,0.2", "; write --over optimizer.lr=0.1,0.2"),
        (
            "train small.yaml --over model.bias=none",
            "; it is an option of sweep, not of train: write: optilab sweep",
        ),
        ("train small.yaml -lr 0.1", "-lr; write --lr"),
        (
            "train small.yaml --set optimizer.momentum=0.9",
            "momentum is another optimizer: write --set 'optimizer={name: momentum, beta: 0.9, form: classic}'",
        ),
        (
            "optimize adam --set algo.momentum=0.5",
            "another optimizer: write --set 'algo={name: momentum, beta: 0.5, form: classic}' in the place of adam",
        ),
        ("optimize sgd --momentum 0.5", "write --algo momentum --set algo.beta=0.5 instead of sgd\n"),
        ("optimize sgd, adam", "optimizers are separated by commas: sgd,adam"),
        ("optimize adam --set algo.lr: 0.5", "; write --set algo.lr=0.5"),
        ("race sgd,adam --accuracy 99 --function booth", "must be at most 0.5, got 99; for example 0.001"),
        ("optimize adam --function 'np.sin(x)+y^2'", "'np.sin(x)' is not accepted; write sin(x)"),
        (
            "train small.yaml --set model.hidden=[16] --set model.skip=[[3,1]]",
            "the network needs two, as in model.hidden=[16, 16]",
        ),
        ("race sgd,adm --function booth,bealle", "\n--function: unknown function 'bealle'; did you mean"),
        ("compare run t9 --metrics val_loss", "run t9 --metric val_loss\nno run 't9' in runs; "),
        (
            "export t9 --out x.csv",
            "write: optilab runs export t9 --out x.csv\nno run 't9' in runs; ",
        ),
        ("compare --verbose run", "write: optilab runs compare run (it has no --verbose)\n"),
        ("export run --format csv", "write: optilab runs export run --out rows.csv\n"),
        ("export run", "write: optilab runs export run --out rows.csv\n"),
        ("export", "write: optilab runs export latest --out rows.csv\n"),
        ("export --help", "write: optilab runs export --help\n"),
        ("runs log", "write: optilab runs ls\n"),
        ("runs diff run", "needs RUN_B, as in: optilab runs diff run latest"),  # which may be of another command
        ("config show train , '\n'", "too many arguments: \\x0a; "),
        ("--verbose train small.yaml", "the command: optilab train small.yaml (it has no --verbose)\n"),
        ("config check path", "write: optilab config check runs/path/config.yaml\n"),
        ("lost.yml", "and no file or preset either"),
        ("odd.yaml --epochs 3", "write: optilab config check odd.yaml\n"),
        ("runs rename run other", "a run keeps its name; choose it with --name"),
    ],
)
def test_what_means_nothing_is_refused(line, message, folder):
    (folder / "net.py").write_text("def CNN(channel, classes): return None\n")
    (folder / "odd.yaml").write_text("hello: 1\n")
    update = "    def update(self, w, g):\n        return w - 0.1 * g\n"
    (folder / "two.py").write_text(f"class A:\n{update}class B:\n{update}")
    (folder / "lost.yaml").write_text("config: gone.yaml\nover: {optimizer.lr: [0.1, 0.2]}\n")
    done = typed(line, folder)
    assert done.returncode in (2, 4)
    assert message in done.stderr + done.stdout


def test_a_directory_that_cannot_be_read_is_named(optilab, tmp_path, monkeypatch):
    (tmp_path / "locked").mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)
    refused = optilab("data", "where", "--data-dir", "locked", code=7).stderr
    assert "cannot read locked: Permission denied" in refused


@pytest.mark.parametrize(("rule", "function"), [("adam", "ravine"), (RULES["adam"], OBJECTIVES["ravine"])])
def test_names_and_classes_in_place_of_optimizers_are_refused(rule, function):
    with pytest.raises(UsageError, match=r'expected RULES\["adam"\]\(\), got'):
        descend(rule, OBJECTIVES["ravine"]())
    with pytest.raises(UsageError, match=r'expected OBJECTIVES\["ravine"\]\(\), got'):
        descend(RULES["adam"](), function)
