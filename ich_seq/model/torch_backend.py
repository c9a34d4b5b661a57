"""A bundle made to compute with torch: slices in HU to probabilities, and scans to refined probabilities."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float32
from safetensors.torch import save
from torch import Tensor, nn

from ich_seq.config import Config
from ich_seq.embeddings.pca import Pca
from ich_seq.errors import BundleError, ConfigError
from ich_seq.model.bundle import Bundle, BundleInfo, TrainedOn
from ich_seq.model.reading import SliceReading
from ich_seq.sequence.network import SequenceNet
from ich_seq.slices.finite import refuse_non_numbers
from ich_seq.slices.lowered import lower
from ich_seq.slices.network import SliceNet
from ich_seq.slices.read import read_slices
from ich_seq.training.compute import Resolved, inference_precision


class TorchModel:
    """Both stages on one device, in evaluation mode, in fp32, or with stage one's trunk in bf16 as `slices.lowered` makes it."""

    runtime = "torch"

    def __init__(self, bundle: Bundle, device: str = "cpu", precision: Resolved = "fp32") -> None:
        """Builds the networks and fills them with the bundle's weights.

        Args:
            bundle: what to build; the caller's copy of the weights is not needed any more afterwards.
            device: `cpu`, `cuda` or `cuda:N`.
            precision: of stage one's trunk; windowing, PCA and stage two are in fp32.

        Raises:
            BundleError: a network that this version does not know, or a tensor is missing, too many, or of another shape or type.
            UsageError: bf16, which the device does not multiply.
        """
        info, self.device, self.precision = bundle.info, device, inference_precision(precision, device)
        self.info = info
        try:
            self.cnn = SliceNet(info.cnn, info.preprocess)
        except ConfigError as error:
            raise BundleError(f"model.json: {error.message}; get a model for this version of ichseq") from error
        _fill(self.cnn, bundle.part("cnn"), "cnn")
        self.pca = _pca(bundle)  # before a network is made as wide as model.json says
        self.lstm = SequenceNet(info.reduced_width, info.lstm)
        _fill(self.lstm, bundle.part("lstm"), "lstm")
        self.cnn.eval()
        if precision == "bf16":
            lower(self.cnn)  # before it goes to the device, so that half the bytes do
        self.cnn.to(device)
        self.lstm.eval().to(device)

    def read_slices(self, slices_hu: Sequence[Float32[np.ndarray, "_ _"]], asked: range | None = None) -> SliceReading:
        """Stage one on successive slices in HU, on all or on those `asked` for, which go through the network as one batch.

        Raises:
            InputRefusedError, ModelError: HU, a logit, an embedding or a coordinate is not finite.
        """
        logits, embedding = read_slices(self.cnn, list(slices_hu), len(slices_hu), asked)
        with np.errstate(over="ignore", invalid="ignore"):
            reduced = self.pca.reduce(embedding)
        refuse_non_numbers("the PCA", reduced)
        return SliceReading(_sigmoid(logits), reduced)

    def refine(
        self, reduced: Float32[np.ndarray, "s k"], prob: Float32[np.ndarray, "s l"]
    ) -> Float32[np.ndarray, "s l"]:
        """Stage two on one scan, feet to head: refined probabilities. Raises ModelError where a logit is not finite."""
        with torch.inference_mode():
            logits = self.lstm(
                torch.from_numpy(reduced).unsqueeze(0).to(self.device),
                torch.from_numpy(prob).unsqueeze(0).to(self.device),
                torch.tensor([len(prob)]),
            )
        found = logits[0].cpu().numpy()
        refuse_non_numbers("stage two", found)
        return _sigmoid(found)


def pack_weights(cnn: SliceNet, pca: Pca, lstm: SequenceNet) -> bytes:
    """The weights of a pipeline as the bytes of one safetensors file, under `cnn.`, `pca.` and `lstm.`."""
    tensors = {f"cnn.{name}": tensor for name, tensor in cnn.state_dict().items()}
    tensors |= {f"pca.{name}": torch.from_numpy(values) for name, values in vars(pca).items()}
    tensors |= {f"lstm.{name}": tensor for name, tensor in lstm.state_dict().items()}
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})


def describe(
    config: Config, cnn: SliceNet, pca: Pca, trained_on: TrainedOn, losses: dict[str, float], weights: bytes
) -> BundleInfo:
    """The description of a pipeline with these packed weights, without calibration and thresholds."""
    from ich_seq import __version__

    return BundleInfo(
        name=config.name,
        ichseq_version=__version__,
        preprocess=config.preprocess,
        # Where the initial weights lay on the machine that trained is of no use elsewhere.
        cnn=config.cnn.model_copy(update={"weights": "none"}),
        lstm=config.lstm,
        embedding_width=cnn.embedding_width,
        reduced_width=len(pca.components),
        trained_on=trained_on,
        validation_loss=losses,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
    )


def _pca(bundle: Bundle) -> Pca:
    info: BundleInfo = bundle.info
    arrays = bundle.part("pca")
    shapes = {
        "mean": (info.embedding_width,),
        "components": (info.reduced_width, info.embedding_width),
        "explained_variance": (info.reduced_width,),
    }
    is_float = all(values.dtype == np.float32 for values in arrays.values())
    if {name: values.shape for name, values in arrays.items()} != shapes or not is_float:
        raise BundleError("weights.safetensors: pca does not fit model.json; get the model again")
    return Pca(**arrays)


def _fill(network: nn.Module, arrays: dict[str, np.ndarray], part: str) -> None:
    wanted = {name: (tensor.numpy().dtype, tuple(tensor.shape)) for name, tensor in network.state_dict().items()}
    found = {name: (values.dtype, values.shape) for name, values in arrays.items()}
    wrong = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if wrong:
        raise BundleError(
            f"weights.safetensors: {part}.{wrong[0]} does not fit model.json ({len(wrong)} tensors in all); get the model again"
        )
    state: dict[str, Tensor] = {name: torch.from_numpy(values) for name, values in arrays.items()}
    network.load_state_dict(state)


def _sigmoid(logits: Float32[np.ndarray, "s l"]) -> Float32[np.ndarray, "s l"]:
    return torch.sigmoid(torch.from_numpy(logits)).numpy()
