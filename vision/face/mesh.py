"""Outlines over the 468 landmarks of MediaPipe's face mesh, and over the 478 with irises."""

from vision.arrays import Float64
from vision.face.topology import Topology, indices, joined

SUBJECT_RIGHT_EYE = indices("33 7 163 144 145 153 154 155 133 173 157 158 159 160 161 246")
SUBJECT_LEFT_EYE = indices("263 249 390 373 374 380 381 382 362 398 384 385 386 387 388 466")
OUTER_LOWER_LIP = indices("61 146 91 181 84 17 314 405 321 375 291")
OUTER_UPPER_LIP = indices("291 409 270 269 267 0 37 39 40 185 61")
INNER_LOWER_LIP = indices("78 95 88 178 87 14 317 402 318 324 308")
INNER_UPPER_LIP = indices("308 415 310 311 312 13 82 81 80 191 78")


def _as_given(landmarks: Float64) -> Float64:
    return landmarks


MESH = Topology(
    eyes=(SUBJECT_RIGHT_EYE, SUBJECT_LEFT_EYE),
    rings={
        "nose": indices("55 8 285 417 412 437 420 429 279 358 294 327 326 2 97 98 64 129 49 209 198 236 196 122 193"),
        "left_under_eye": indices("35 226 25 110 24 23 22 26 112 244 245 128 121 120 119 118 117 111"),
        "right_under_eye": indices("465 464 341 256 252 253 254 339 255 359 353 383 372 340 346 347 348 349 350 357"),
        "mouth": indices(
            "234 116 36 203 165 167 164 393 391 423 266 330 345 454 323 361 288 397 365 379 378 400 377 152 148 176 "
            "149 150 136 172 58 132 93"
        ),
        "left_eye": SUBJECT_RIGHT_EYE,
        "right_eye": SUBJECT_LEFT_EYE,
        "left_eyebrow": indices("70 63 105 66 107 55 65 52 53 46"),
        "right_eyebrow": indices("300 293 334 296 336 285 295 282 283 276"),
        "upper_lip": joined(OUTER_UPPER_LIP, INNER_UPPER_LIP[::-1]),
        "lower_lip": joined(OUTER_LOWER_LIP, INNER_LOWER_LIP[::-1]),
        "face_oval": indices(
            "10 338 297 332 284 251 389 356 454 323 361 288 397 365 379 378 400 377 152 148 176 149 150 136 172 58 "
            "132 93 234 127 162 21 54 103 67 109"
        ),
        "left_cheek": indices("116 117 118 119 100 142 203 206 216 207 187 147 123"),
        "right_cheek": indices("345 346 347 348 329 371 423 426 436 427 411 376 352"),
    },
    arc=indices("162 21 54 103 67 109 10 338 297 332 284 251"),
    brows=indices("389 301 293 334 296 336 9 107 66 105 63 70 127"),
    chin=152,
    rise=0.15,
    extend=_as_given,
)
